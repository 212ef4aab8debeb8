"""What a fit may answer: an estimate with its interval, or an honest reason why there is none."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np


class Kind(StrEnum):
    """The ten answers."""

    REACHED = "reached"
    """The whole interval lies inside what was tested."""
    BOUNDED = "bounded"
    """A finite interval."""
    AT_LEAST = "at_least"
    """Only the lower limit is finite, though the answer itself exists."""
    NEVER_COMPATIBLE = "never_compatible"
    """The data do not exclude that the target is never reached; the lower limit stands."""
    CANNOT = "cannot"
    """The data exclude that the target is ever reached."""
    UNBOUNDED = "unbounded"
    """At least one limit is missing and nothing is known about its side."""
    CENSORED_LOW = "censored_low"
    """The answer lies below everything tested."""
    CENSORED_HIGH = "censored_high"
    """The answer lies above everything tested."""
    NOT_IDENTIFIED = "not_identified"
    """Too few or unsuitable data for an estimate."""
    NO_SIGMA = "no_sigma"
    """An estimate without an interval: neither replicate seeds nor a given sigma."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A confidence interval; ``None`` on a side means unbounded there."""

    low: float | None
    high: float | None
    level: float = 0.95

    def __contains__(self, value: float) -> bool:
        above = self.low is None or value >= self.low
        return above and (self.high is None or value <= self.high)

    @property
    def width(self) -> float:
        """High minus low, infinite where a side is unbounded."""
        if self.low is None or self.high is None:
            return math.inf
        return self.high - self.low

    def map(self, function: Callable[[float], float]) -> Interval:
        """The interval of an increasing function of the quantity."""
        low = None if self.low is None else float(function(self.low))
        high = None if self.high is None else float(function(self.high))
        return Interval(low=low, high=high, level=self.level)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One number that a report prints, or the reason why it prints none."""

    kind: Kind
    value: float | None = None
    interval: Interval | None = None
    unit: str = ""
    reason: str = ""

    def map(self, function: Callable[[float], float], unit: str) -> Answer:
        """The answer about an increasing function of the quantity."""
        value = None if self.value is None else float(function(self.value))
        interval = None if self.interval is None else self.interval.map(function)
        return dataclasses.replace(self, value=value, interval=interval, unit=unit)


def p_text(p: float) -> str:
    """A P value inside a sentence; below 0.001 it rests on tails that no sweep knows."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def not_identified(reason: str, unit: str = "") -> Answer:
    """There is no estimate, because of ``reason``."""
    return Answer(kind=Kind.NOT_IDENTIFIED, unit=unit, reason=reason)


def estimate(
    value: float, interval: Interval | None, *, unit: str = "", reason: str = ""
) -> Answer:
    """The answer that an estimate and its interval amount to."""
    if interval is None:
        return Answer(kind=Kind.NO_SIGMA, value=value, unit=unit, reason=reason)
    if interval.low is not None and interval.high is not None:
        kind = Kind.BOUNDED
    elif interval.low is not None:
        kind = Kind.AT_LEAST
    else:
        kind = Kind.UNBOUNDED
    return Answer(kind=kind, value=value, interval=interval, unit=unit, reason=reason)


def to_jsonable(result: object) -> object:
    """A result as plain lists, dicts and scalars for `json.dumps`, floats at full precision.

    Non-finite floats become ``None``: JSON has no other word, and every result says in a field of
    its own (`Answer.kind`, `Interval`) why a number is missing.
    """
    if type(result) is float:  # most there are
        return result if math.isfinite(result) else None
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        fields = dataclasses.fields(result)
        return {field.name: to_jsonable(getattr(result, field.name)) for field in fields}
    if isinstance(result, StrEnum):
        return result.value
    if isinstance(result, dict):
        return {str(key): to_jsonable(value) for key, value in result.items()}
    if isinstance(result, np.ndarray):
        return to_jsonable(result.tolist())
    if isinstance(result, (list, tuple)):
        return [to_jsonable(item) for item in result]
    if isinstance(result, np.generic):
        return to_jsonable(result.item())
    if result is None or isinstance(result, (str, int, bool)):
        return result
    raise TypeError(f"no JSON form for {type(result).__name__}")
