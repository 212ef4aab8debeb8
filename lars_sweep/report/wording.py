"""Answers as words: an estimate never stands without its interval or the reason it has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lars_sweep.fit.answers import Answer, Interval, Kind
from lars_sweep.nouns import with_noun
from lars_sweep.report.labels import NBSP, listed

Number = Callable[[float], str]

NAMES_TOLD = 6


def interval_words(interval: Interval | None, number: Number) -> str:
    """``3.1 to 9.8``, ``above 3.1``, ``below 9.8``; empty where nothing is known."""
    if interval is None or (interval.low is None and interval.high is None):
        return ""
    if interval.low is None:
        return f"below{NBSP}{number(interval.high or 0.0)}"
    if interval.high is None:
        return f"above{NBSP}{number(interval.low)}"
    return f"{number(interval.low)} to {number(interval.high)}"


def answer_words(answer: Answer, number: Number, noun: str | None = None) -> str:
    """An answer inside a sentence: value, 95 % interval, or why there is none."""
    limits = interval_words(answer.interval, number)
    bracket = f" (95{NBSP}% interval {limits})" if limits else ""
    if answer.kind in (Kind.NOT_IDENTIFIED, Kind.CANNOT) or (answer.value is None and not limits):
        return f"not known ({answer.reason})" if answer.reason else "not known"
    if answer.value is None:
        return limits if noun is None else with_noun(limits, noun, NBSP)
    value = number(answer.value)
    value = value if noun is None else with_noun(value, noun, NBSP)
    if answer.kind is Kind.NO_SIGMA:
        return f"{value} (no interval: {answer.reason or 'no sigma'})"
    return f"{value}{bracket}"


def answer_cell(answer: Answer, number: Number) -> str:
    """An answer in a table: ``3.1 (2.9 – 3.4)``, ``> 3.1``, a dash where nothing is known."""
    interval = answer.interval
    low = None if interval is None or interval.low is None else number(interval.low)
    high = None if interval is None or interval.high is None else number(interval.high)
    if answer.kind is Kind.CANNOT:
        return "never"
    if answer.value is None:
        if low is None and high is None:
            return "–"
        return f"> {low}" if high is None else f"< {high}" if low is None else f"{low} – {high}"
    if interval is None:
        return f"{number(answer.value)} (?)"
    return f"{number(answer.value)} ({low or '?'} – {high or '?'})"


def some(names: Sequence[str], most: int = NAMES_TOLD) -> str:
    """All names of a few, else the first and the number of the others."""
    if len(names) <= most:
        return listed(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def sentence(text: str) -> str:
    """With a capital and one full stop."""
    text = text.strip().rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
