"""Numbers with what they count, in the plural unless it is one."""

from __future__ import annotations


def count(n: float, noun: str) -> str:
    """``1 trial``, ``1.5 epochs``, ``1,200 batches``, ``2 strata``."""
    return with_noun(f"{int(n):,}" if float(n).is_integer() else f"{n:.6g}", noun)


def with_noun(number: str, noun: str, gap: str = " ") -> str:
    """The same of a number as it is written."""
    if number == "1":
        return f"{number}{gap}{noun}"
    if noun.endswith("um"):
        return f"{number}{gap}{noun.removesuffix('um')}a"
    return f"{number}{gap}{noun}{'es' if noun.endswith('batch') else 's'}"
