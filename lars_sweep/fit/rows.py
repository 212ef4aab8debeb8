"""The table that every fit reads: plain columns, whatever file they came from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lars_sweep.errors import OutcomeError
from lars_sweep.fit.linear import FloatArray

Array = npt.NDArray[Any]

MINIMUM_COLUMNS = ("model", "global_batch", "epochs", "samples", "accuracy")
"""What a table from elsewhere must hold; base_lr, optimizer, seed and status where there are."""

CONDITIONS = (
    "model", "dataset", "split", "augmentation", "optimizer", "lars_variant", "granularity",
    "zero_norm", "momentum_form", "global_batch", "bn_batch", "trust_coefficient", "momentum",
    "nesterov", "weight_decay", "exclusions", "schedule", "poly_origin", "power", "warmup_epochs",
    "epochs", "samples", "precision", "bn_eval", "init",
)  # fmt: skip
"""Columns that make two rows different experiments; base_lr and seed are what cells vary."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Outcome rows as columns of equal length; a missing number is NaN."""

    columns: Mapping[str, Array]

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise OutcomeError(f"columns differ in length: {lengths}; give one value per row")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> Array:
        if name not in self.columns:
            raise OutcomeError(
                f"the outcome table has no column {name!r}; it has {', '.join(self.columns)}; "
                f"a fit needs at least {', '.join(MINIMUM_COLUMNS)}"
            )
        return self.columns[name]

    def floats(self, name: str) -> FloatArray:
        """A column as float64."""
        return np.asarray(self[name], dtype=np.float64)

    def where(self, keep: Array) -> Rows:
        """The rows that a mask or an index array keeps, in that order."""
        return Rows({name: column[keep] for name, column in self.columns.items()})

    def groups(self, names: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], Rows]]:
        """Rows that agree in some columns, by ascending value; missing values agree, and are last.

        A missing value is None in the key. Without names all rows are one group.
        """
        if not names:
            yield (), self
            return
        coded = [_coded(self[name]) for name in names]
        code = np.zeros(len(self), dtype=np.intp)
        for values, own in coded:
            if len(values) > 1:
                code = np.unique(code * len(values) + own, return_inverse=True)[1]
        order = np.argsort(code, kind="stable")
        starts = np.flatnonzero(np.diff(code[order], prepend=-1))
        for index in np.split(order, starts[1:]) if len(self) else ():
            yield tuple(values[own[index[0]]] for values, own in coded), self.where(index)

    def values(self, name: str) -> list[Any]:
        """The different values of a column, ascending; None, last, where some are missing."""
        return _coded(self[name])[0]

    def only(self, names: Collection[str]) -> Rows:
        """Those of the named columns that there are: what many small groups are cut from."""
        return Rows({name: column for name, column in self.columns.items() if name in names})

    @property
    def status(self) -> Array:
        """Status of every row; a table without the column holds finished trials only."""
        if "status" in self:
            return self["status"]
        return np.full(len(self), "ok", dtype=object)


def _coded(column: Array) -> tuple[list[Any], npt.NDArray[np.intp]]:
    """Different values, ascending, a missing one as None and last; each row's index into them."""
    if column.dtype.kind in "biuf":
        found, index = np.unique(column, return_inverse=True)
        return [None if value != value else value for value in found.tolist()], index
    known: dict[Any, int] = {}
    rows = [known.setdefault(None if v != v else v, len(known)) for v in column.tolist()]
    values = sorted(known, key=lambda value: (value is None, "" if value is None else value))
    place = np.empty(len(values), dtype=np.intp)
    place[[known[value] for value in values]] = np.arange(len(values))
    return values, place[np.array(rows, dtype=np.intp)]


def refuse_mixed(rows: Rows, modelled: Collection[str], pool: Collection[str] = ()) -> None:
    """Refuse rows that differ in a condition which a fit does not model.

    Args:
        rows: what is about to be fitted together.
        modelled: condition columns that the fit has in its formula.
        pool: conditions that the caller declares to be without effect, or to be part of the tuning.

    Raises:
        OutcomeError: names each such column and its values.
    """
    mixed = []
    for name in CONDITIONS:
        if name in rows and name not in modelled and name not in pool:
            values = sorted({str(value) for value in rows[name].tolist()})
            if len(values) > 1:
                mixed.append(
                    f"{name} ({', '.join(values[:6])}{', ...' if len(values) > 6 else ''})"
                )
    if mixed:
        raise OutcomeError(
            f"these rows must not be pooled: they differ in {'; '.join(mixed)}, which the fit does "
            f"not model; select one value of each, or name the column in `pool`"
        )
