"""What an analysis consists of: a fit under its key, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lars_sweep.errors import FitError, OutcomeError
from lars_sweep.fit.answers import Answer

Scalar = str | int | float | bool | None
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class TooLittle:
    """The data are of the right kind and too few: what is there and what is needed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The fit would have had to pool what must not be pooled, or lacks a column."""

    reason: str


Missing = TooLittle | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """Which rows an entry is about."""

    conditions: tuple[tuple[str, Scalar], ...]
    """Model and optimizer, then what else tells the groups of the analysis apart, as
    (column, value); None: not recorded."""
    global_batch: int | None = None
    """None: the entry is about all batches of the group."""
    epochs: float | None = None
    """None: the entry is about all numbers of epochs of the group."""

    def __getitem__(self, name: str) -> Scalar:
        """A condition's value, None where it is not part of the key."""
        return dict(self.conditions).get(name)

    @property
    def group(self) -> Key:
        """The same without batch and epochs."""
        return Key(conditions=self.conditions)

    def of(self, other: Key) -> Key:
        """The same batch and epochs of another group."""
        return Key(conditions=other.conditions, global_batch=self.global_batch, epochs=self.epochs)

    @property
    def label(self) -> str:
        """As in ``alexnet lars augmentation=max``."""
        words = []
        for name, value in self.conditions:
            if name in ("model", "optimizer"):
                words += [] if value is None else [str(value)]
            else:
                shown = "unknown" if value is None else value
                words.append(f"{name}={shown:g}" if isinstance(shown, float) else f"{name}={shown}")
        return " ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Generic[T_co]):
    """One fit of one group of rows."""

    key: Key
    pooled: tuple[str, ...]
    """Conditions that differ between the batches or epochs of the group and count as part of the
    tuning there, such as a warm-up per batch."""
    result: T_co | TooLittle | Refused

    @property
    def found(self) -> T_co | None:
        """The result, None where there is none."""
        return None if isinstance(self.result, (TooLittle, Refused)) else self.result


def attempt(fit: Callable[[], T | Answer | TooLittle]) -> T | TooLittle | Refused:
    """The result of a fit; an answer in its place is the reason why there is no fit."""
    try:
        result = fit()
    except (OutcomeError, FitError) as error:
        return Refused(str(error))
    return TooLittle(result.reason) if isinstance(result, Answer) else result
