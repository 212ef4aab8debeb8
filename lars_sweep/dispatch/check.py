"""One thing that `lars-sweep doctor` looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing looked at."""

    name: str
    ok: bool
    found: str
    advice: str = ""
    needed: bool = True
    """False: only some sweeps need it."""

    def to_json(self) -> dict[str, object]:
        return asdict(self)
