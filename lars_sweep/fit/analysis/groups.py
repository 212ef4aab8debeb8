"""Rows split into what may be fitted together; nothing that differs is pooled silently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis.entries import Entry, Key, Missing, Scalar, T, TooLittle
from lars_sweep.fit.rows import CONDITIONS, MINIMUM_COLUMNS, Rows

FOLLOWING = ("bn_batch", "warmup_epochs", "momentum", "weight_decay")
"""Conditions that a sweep may set per batch or per epochs as part of its tuning (the paper's
warm-up in Tables 4 and 6, a ghost batch of B/8)."""
_VARIED = ("global_batch", "epochs")
OPTIMIZERS_OWN = frozenset(
    {
        "optimizer", "lars_variant", "granularity", "zero_norm", "trust_coefficient", "momentum",
        "weight_decay",
    }
)  # fmt: skip
"""Conditions in which two rivals may differ: what only one of them has, and what is tuned for each.
All others must be equal, the momentum form and the exclusions among them (PROTOCOL.md 11)."""

Conditions = dict[str, Scalar]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Rows that differ in batch, epochs, LR and seed only, and in what follows batch or epochs."""

    key: Key
    pooled: tuple[str, ...]
    rows: Rows
    conditions: Conditions
    """Every condition that the rows agree in, those that the key leaves out as well."""

    @property
    def arena(self) -> frozenset[tuple[str, Scalar]]:
        """What a rival must share to be compared with this group."""
        return frozenset(item for item in self.conditions.items() if item[0] not in OPTIMIZERS_OWN)

    def entry(
        self, result: T | Missing, *, batch: int | None = None, epochs: float | None = None
    ) -> Entry[T]:
        """An entry about this group, or about one batch or number of epochs of it."""
        key = Key(conditions=self.key.conditions, global_batch=batch, epochs=epochs)
        return Entry(key=key, pooled=self.pooled, result=result)

    def at_epochs(self) -> Iterator[tuple[float, Group]]:
        """The group per number of epochs; what is pooled is judged anew."""
        for (epochs,), rows in self.rows.groups(("epochs",)):
            varying = tuple(name for name in self.pooled if _values(rows, name) > 1)
            yield (
                float(epochs),
                Group(key=self.key, pooled=varying, rows=rows, conditions=self.conditions),
            )


def split(rows: Rows) -> tuple[Group, ...]:
    """Split rows by every condition that tells experiments apart, failed rows left out.

    Batch and epochs stay together. A condition of `FOLLOWING` splits only where it takes several
    values at one batch and epochs; else it follows them and is named in ``pooled``.

    Raises:
        OutcomeError: a column that every fit needs is missing.
    """
    for name in MINIMUM_COLUMNS:
        rows[name]  # raises, with the columns that there are
    present = _ordered(rows.where(rows.status != "failed"))
    hard = [name for name in CONDITIONS if name in rows and name not in (*_VARIED, *FOLLOWING)]
    followers = [name for name in FOLLOWING if name in rows]
    found: list[tuple[Conditions, tuple[str, ...], Rows]] = []
    for values, outer in present.groups(hard):
        apart = [name for name in followers if _splits(outer, name)]
        for more, inner in outer.groups(apart) if apart else [((), outer)]:
            pooled = tuple(n for n in followers if n not in apart and _values(inner, n) > 1)
            conditions = dict(zip(hard, values, strict=True)) | dict(zip(apart, more, strict=True))
            found.append((conditions, pooled, inner))
    told = _telling([conditions for conditions, _, _ in found], [*hard, *followers])
    return tuple(
        Group(
            key=Key(conditions=tuple((name, conditions.get(name)) for name in told)),
            pooled=pooled,
            rows=inner,
            conditions=conditions,
        )
        for conditions, pooled, inner in found
    )


def _ordered(rows: Rows) -> Rows:
    """Rows in an order that their content decides, so that no sum depends on that of the table."""
    names = ("accuracy", "seed", "base_lr", "epochs", "global_batch")
    return rows.where(np.lexsort([rows.floats(name) for name in names if name in rows]))


def rivals(groups: Iterable[Group]) -> Iterator[tuple[Group, Group | TooLittle]]:
    """Every LARS group with the SGD group of the same arena, where there is one."""
    known = list(groups)
    for group in known:
        if group.key["optimizer"] != "lars":
            continue
        others = [g for g in known if g.key["optimizer"] == "sgd" and g.arena == group.arena]
        if len(others) == 1:
            yield group, others[0]
        elif others:
            yield group, TooLittle(f"{len(others)} settings of SGD to compare with: name one")


def _values(rows: Rows, name: str) -> int:
    """Different values of a column; missing ones are one more."""
    return len(rows.values(name))


def _splits(rows: Rows, name: str) -> bool:
    return any(_values(cell, name) > 1 for _, cell in rows.groups(_VARIED))


def _telling(groups: list[Conditions], names: list[str]) -> list[str]:
    """Model and optimizer, and what else is needed to tell the groups apart."""
    told = ["model", *(["optimizer"] if "optimizer" in names else [])]
    for name in names:
        values: dict[tuple[Scalar, ...], set[Scalar]] = {}
        for group in groups:
            values.setdefault(tuple(group.get(n) for n in told), set()).add(group.get(name))
        if any(len(found) > 1 for found in values.values()):
            told.append(name)
    return told


def choice_metric(rows: Rows) -> str:
    """What choices look at: val where it was held out (PROTOCOL.md 1), else the only accuracy."""
    return "accuracy_val" if _known(rows, "accuracy_val") else report_metric(rows)


def report_metric(rows: Rows) -> str:
    """What is reported: the mean over the last 5 % of steps (PROTOCOL.md 3), else the accuracy."""
    return "accuracy_tail" if _known(rows, "accuracy_tail") else "accuracy"


def _known(rows: Rows, name: str) -> bool:
    """Whether every finished row has the metric."""
    if name not in rows:
        return False
    finished = rows.where(rows.status == "ok")
    return len(finished) > 0 and bool(np.isfinite(finished.floats(name)).all())
