"""Paired seeds: one seed gives the same random numbers at every point, and is a block.

Where ``seeds.paired`` is true (PROTOCOL.md 17) runs of one seed are good or bad together. What they
share says nothing about learning rates and is taken out before a fit; it stays in what is said
about heights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Rows whose metric has lost the effects of the seeds."""

    rows: Rows
    height_se: float
    """Standard error of the mean of the seed effects, points: what all cells may be off by."""


def without_blocks(rows: Rows, by: Sequence[str], metric: str = "accuracy") -> Blocked:
    """Fit ``accuracy = cell + block`` by least squares and put the cells' residuals back alone.

    The residuals are stretched by the root of ``(n - cells) / (n - cells - blocks + 1)``, so that
    their scatter within cells estimates sigma² on the degrees of freedom that are left. Fewer than
    two seeds, or seeds that share no cell, leave the rows as they are.

    Args:
        rows: outcomes; only finished ones count. A seed is the same block in every cell.
        by: columns that tell cells apart.
        metric: the accuracy.

    Raises:
        OutcomeError: a column is missing.
    """
    values = rows.floats(metric)
    used = np.flatnonzero((rows.status == "ok") & np.isfinite(values))
    cell = _codes(np.stack([rows.floats(name)[used] for name in by], axis=-1))
    block = _codes(rows.floats("seed")[used][:, None])
    cells, blocks = (int(codes.max(initial=-1)) + 1 for codes in (cell, block))
    y = values[used]
    design = np.concatenate([np.eye(cells)[cell], np.eye(blocks)[block][:, 1:]], axis=1)
    spare = len(y) - int(np.linalg.matrix_rank(design)) if len(y) else 0
    if blocks < 2 or spare < 1:
        return Blocked(rows=rows, height_se=0.0)
    beta = np.linalg.lstsq(design, y, rcond=None)[0]
    effects = np.concatenate([[0.0], beta[cells:]])
    residual = y - design @ beta
    stretch = np.sqrt((len(y) - cells) / spare)
    # Heights refer to the mean of the seeds, whichever of them a cell lacks.
    adjusted = beta[:cells][cell] + effects.mean() + stretch * residual
    changed = values.copy()
    changed[used] = adjusted
    return Blocked(
        rows=Rows({**rows.columns, metric: changed}),
        height_se=_height_se(effects, float(residual @ residual) / spare, len(y) / blocks),
    )


def _codes(keys: FloatArray) -> np.ndarray:
    """Number of each row's key among the distinct ones (n,)."""
    return np.asarray(np.unique(keys, axis=0, return_inverse=True)[1]).reshape(-1)


def _height_se(effects: FloatArray, variance: float, runs: float) -> float:
    """Of the mean block effect: their variance, less what the runs' own noise adds to it."""
    between = float(np.var(effects, ddof=1)) - variance / max(runs, 1.0)
    return float(np.sqrt(max(between, 0.0) / len(effects)))
