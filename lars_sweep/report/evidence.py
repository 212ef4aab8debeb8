"""What every section reads: the observations and, per run, the analysis; entries as panels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import pandas as pd

from lars_sweep.fit.analysis import Analysis, Entry, Key
from lars_sweep.report.labels import field_label
from lars_sweep.report.observations import OPTIMIZER_ORDER, Observations

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

MOST_PANELS = 12
"""Panels that a figure draws; tables and CSV files hold the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The input of all sections."""

    observations: Observations
    analyses: Mapping[str, Analysis]
    """Label of a run → what its rows say; one label, possibly empty, where there is one run."""
    fixture: str
    """What figures say where the rows are published numbers; empty for a run's own."""

    @property
    def models(self) -> str:
        """The networks, for a figure whose panels have no other title."""
        return ", ".join(sorted(self.observations.strata["model"].unique()))

    def found(self, kind: str) -> list[Found[Any]]:
        """Entries of one field of the analyses, run by run."""
        return [
            Found(run=run, entry=entry)
            for run, analysis in self.analyses.items()
            for entry in getattr(analysis, kind)
        ]

    def trials(self, run: str, key: Key) -> pd.DataFrame:
        """The trials that an entry is about, failed ones left out."""
        trials = self.observations.trials
        keep = trials["run"] == run
        wanted: list[tuple[str, object]] = [*key.conditions]
        if key.global_batch is not None:
            wanted.append(("global_batch", key.global_batch))
        if key.epochs is not None:
            wanted.append(("epochs", key.epochs))
        for name, value in wanted:
            keep &= trials[name].isna() if value is None else trials[name] == value
        return trials[keep]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[T_co]):
    """An entry of the analysis of one run."""

    run: str
    entry: Entry[T_co]

    @property
    def key(self) -> Key:
        """Which rows it is about."""
        return self.entry.key


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel(Generic[T_co]):
    """Entries that differ in the batch (and, where the panel says so, epochs) only."""

    number: int
    row: int
    """Panels that differ in the optimizer only share it."""
    title: str
    row_title: str
    """The same without the optimizer; empty where nothing else tells rows apart."""
    optimizer: str
    run: str
    members: tuple[Entry[T_co], ...]

    @property
    def slot(self) -> tuple[int, int, str]:
        """As `canvas.arrange` takes it."""
        return self.number, self.row, self.optimizer


def panels(found: Sequence[Found[T]], *, by_epochs: bool) -> list[Panel[T]]:
    """Entries grouped into panels: a run, its conditions and, if asked for, the epochs."""
    groups: dict[tuple[object, ...], list[Found[T]]] = {}
    for one in found:
        groups.setdefault(_identity(one, by_epochs), []).append(one)
    fields = [_fields(members[0], by_epochs) for members in groups.values()]
    titles = _titles(fields)
    order = sorted(range(len(fields)), key=lambda i: _order(fields[i]))
    members_of = list(groups.values())
    rows: dict[str, int] = {}
    made = []
    for number, i in enumerate(order):
        rest = repr([(k, v) for k, v in fields[i].items() if k not in _OPTIMIZERS_OWN])
        made.append(
            Panel(
                number=number,
                row=rows.setdefault(rest, len(rows)),
                title=titles[i][0],
                row_title=titles[i][1],
                optimizer=str(fields[i].get("optimizer") or ""),
                run=members_of[i][0].run,
                members=tuple(one.entry for one in members_of[i]),
            )
        )
    return made


_FIRST = ("run", "model", "dataset", "epochs")
_OPTIMIZERS_OWN = (
    "optimizer", "lars_variant", "granularity", "zero_norm", "trust_coefficient", "momentum",
    "weight_decay", "exclusions", "momentum_form",
)  # fmt: skip


def _identity(one: Found[T], by_epochs: bool) -> tuple[object, ...]:
    return (one.run, one.key.conditions, one.key.epochs if by_epochs else None)


def _fields(one: Found[T], by_epochs: bool) -> dict[str, object]:
    fields: dict[str, object] = {"run": one.run, **dict(one.key.conditions)}
    if by_epochs:
        fields["epochs"] = one.key.epochs
    return fields


def _titles(fields: Sequence[Mapping[str, object]]) -> list[tuple[str, str]]:
    """With and without the optimizer: what varies of the first fields, what else tells apart."""
    names = list(dict.fromkeys(name for one in fields for name in one))
    first = [n for n in _FIRST if len({repr(one.get(n)) for one in fields}) > 1]
    shown: list[list[str]] = [["optimizer", *first] for _ in fields]
    for name in names:
        told: dict[str, set[str]] = {}
        prefixes = [repr([one.get(n) for n in shown[i]]) for i, one in enumerate(fields)]
        for one, prefix in zip(fields, prefixes, strict=True):
            told.setdefault(prefix, set()).add(repr(one.get(name)))
        for mine, prefix in zip(shown, prefixes, strict=True):
            if len(told[prefix]) > 1 and name not in mine:
                mine.append(name)
    titles = []
    for one, mine in zip(fields, shown, strict=True):
        words = {n: _label(n, one.get(n)) for n in mine}
        whole = ", ".join(text for text in words.values() if text) or str(one.get("model"))
        own = [text for n, text in words.items() if n not in _OPTIMIZERS_OWN and text]
        titles.append((whole, ", ".join(own)))
    return titles


def _label(name: str, value: object) -> str:
    """A field's value in a title; empty for an optimizer or epochs that an entry is not about."""
    return "" if value is None and name in ("optimizer", "epochs") else field_label(name, value)


def _order(fields: Mapping[str, object]) -> tuple[object, ...]:
    """All but the optimizer first, so that rivals stand side by side."""
    optimizer = str(fields.get("optimizer"))
    rank = OPTIMIZER_ORDER.index(optimizer) if optimizer in OPTIMIZER_ORDER else 99
    rest = [fields.get(n) for n in (*_FIRST, *sorted(set(fields) - {*_FIRST, "optimizer"}))]
    return (
        *((v is None, isinstance(v, str), v) for v in rest[:4]),
        rank,
        optimizer,
        repr(rest[4:]),
    )
