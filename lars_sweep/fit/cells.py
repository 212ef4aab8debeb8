"""Rows that differ in their seed only are one cell: its mean, its spread, its runs' fates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """One entry per cell, sorted by its keys; failed rows are in none of the counts."""

    keys: dict[str, FloatArray]
    """Values of the columns that tell the cells apart, each (n,)."""
    samples: tuple[FloatArray, ...]
    """Accuracies of the finished seeds of each cell, percent, ascending."""
    diverged: FloatArray
    pruned: FloatArray

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def ok(self) -> FloatArray:
        """Finished seeds per cell (n,)."""
        return np.array([len(sample) for sample in self.samples], dtype=np.float64)

    @property
    def mean(self) -> FloatArray:
        """Mean accuracy per cell (n,), NaN where no seed finished."""
        return np.array([np.mean(s) if len(s) else np.nan for s in self.samples])

    @property
    def variance(self) -> FloatArray:
        """Sample variance per cell (n,), NaN below two finished seeds."""
        return np.array([np.var(s, ddof=1) if len(s) > 1 else np.nan for s in self.samples])

    def where(self, keep: np.ndarray) -> Cells:
        """The cells that a mask or an index array keeps."""
        index = np.arange(len(self))[keep]
        return Cells(
            keys={name: values[index] for name, values in self.keys.items()},
            samples=tuple(self.samples[i] for i in index),
            diverged=self.diverged[index],
            pruned=self.pruned[index],
        )


def cells(rows: Rows, by: Sequence[str], metric: str = "accuracy") -> Cells:
    """Group rows into cells.

    Args:
        rows: outcome rows. ``failed`` ones, and ``ok`` ones without a metric, do not exist here.
        by: numeric columns that tell cells apart.
        metric: the accuracy column, percent.
    """
    present = rows.where(rows.status != "failed")
    keys: list[tuple[float, ...]] = []
    samples, diverged, pruned = [], [], []
    if len(present):
        present[metric]  # raises, with the columns that there are
    for key, group in present.only((*by, metric, "status")).groups(by):
        status = group.status
        values = group.floats(metric)
        finished = np.sort(values[(status == "ok") & np.isfinite(values)])
        counts = (np.sum(status == "diverged"), np.sum(status == "pruned"))
        if len(finished) + sum(counts) == 0:
            continue
        keys.append(key)
        samples.append(finished)
        diverged.append(float(counts[0]))
        pruned.append(float(counts[1]))
    table = np.array(keys, dtype=np.float64).reshape(len(keys), len(by))
    return Cells(
        keys={name: table[:, i] for i, name in enumerate(by)},
        samples=tuple(samples),
        diverged=np.array(diverged),
        pruned=np.array(pruned),
    )
