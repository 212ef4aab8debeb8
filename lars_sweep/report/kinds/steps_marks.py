"""Tuned cells and the curve in steps through them, as rows of a figure's frame."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lars_sweep.fit.analysis.curves_in_steps import StepsFinding
from lars_sweep.fit.distributions import student_quantile
from lars_sweep.fit.engine import Noise
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.steps import StepsFit
from lars_sweep.report.bands import mean_band
from lars_sweep.report.evidence import Evidence, Found

Row = dict[str, Any]
Line = tuple[FloatArray, FloatArray, Row]
"""Batch (m,), epochs (m,), ascending in either, and what else the rows of a curve hold."""
_BAND_POINTS = 9
_CURVE_POINTS = 49


def cell_rows(finding: StepsFinding) -> Iterator[Row]:
    """One row per (batch, epochs): the accuracy at a tuned LR with its 95 % interval."""
    cells = finding.cells
    for i in range(len(cells)):
        half = _half_width(finding.noise, float(cells.weight[i]))
        accuracy = float(cells.accuracy[i])
        yield {
            "what": "cell", "batch": cells.batch[i], "epochs": cells.epochs[i],
            "steps": cells.steps[i], "accuracy": accuracy, "low": accuracy - half,
            "high": accuracy + half, "seeds_worth": cells.weight[i],
        }  # fmt: skip


def _half_width(noise: Noise | None, weight: float) -> float:
    if noise is None or weight <= 0:
        return math.nan
    return student_quantile(0.975, noise.nu) * math.sqrt(noise.variance / weight)


def seed_rows(evidence: Evidence, found: Found[Any]) -> Iterator[Row]:
    """The seeds of the chosen LRs of a group."""
    trials = evidence.trials(found.run, found.key)
    trials = trials[trials["chosen"] & (trials["status"] == "ok")]
    columns = ("global_batch", "epochs", "report_accuracy", "samples")
    for batch, epochs, accuracy, samples in zip(*(trials[n] for n in columns), strict=True):
        yield {
            "what": "seed", "batch": batch, "epochs": epochs, "accuracy": accuracy,
            "steps": math.ceil(epochs * samples / batch),
        }  # fmt: skip


def edge_cells(evidence: Evidence, found: Found[Any]) -> set[tuple[int, float]]:
    """(batch, epochs) whose chosen LR is the first or last of those that finished."""
    for one in evidence.found("chosen"):
        if one.run == found.run and one.key == found.key.group and one.entry.found is not None:
            return {(c.global_batch, c.epochs) for c in one.entry.found if c.at_edge}
    return set()


def curve_rows(fit: StepsFit, curves: Sequence[Line]) -> Iterator[Row]:
    """The averaged curve along several lines, with its 95 % band.

    The band is computed at some points of each line, for all lines at once, and interpolated
    between them, smoothly and without overshoot.

    Args:
        fit: the joint fit.
        curves: the lines.
    """
    points = [np.stack([e * fit.samples / b, b], axis=-1) for b, e, _ in curves]
    few = [np.unique(np.linspace(0, len(at) - 1, _BAND_POINTS).astype(int)) for at in points]
    together = [at[index] for at, index in zip(points, few, strict=True)]
    limits = mean_band(fit.averaged, np.concatenate(together)) if together else None
    starts = np.cumsum([0, *map(len, few)])
    for k, (batch, epochs, about) in enumerate(curves):
        mean = fit.averaged.predict(points[k])
        low = high = np.full(len(mean), np.nan)
        if limits is not None:
            own = [side[starts[k] : starts[k + 1]] - mean[few[k]] for side in limits]
            low, high = (mean + side for side in _between(points[k][:, 0], few[k], own))
        for i in range(len(mean)):
            yield about | {
                "batch": batch[i], "epochs": epochs[i], "steps": points[k][i, 0],
                "accuracy": mean[i], "low": low[i], "high": high[i],
            }  # fmt: skip


def _between(
    steps: FloatArray, few: np.ndarray, reach: list[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Distances of both limits from the curve at all steps (m,), NaN outside the known ones."""
    from scipy.interpolate import PchipInterpolator

    x = np.log(steps) if steps[-1] > steps[0] else -np.log(steps)
    known = np.isfinite(reach[0]) & np.isfinite(reach[1])
    if np.sum(known) < 2:
        return np.full(len(x), np.nan), np.full(len(x), np.nan)
    low, high = (PchipInterpolator(x[few[known]], r[known], extrapolate=False)(x) for r in reach)
    return low, high


def along(low: float, high: float, through: Sequence[float]) -> FloatArray:
    """Positions from low to high in equal ratio, and those that lie between."""
    inner = [value for value in through if low <= value <= high]
    return np.unique(np.concatenate([np.geomspace(low, high, _CURVE_POINTS), inner]))


FRAME = ("panel", "title", "series", "what", "batch", "epochs", "steps", "accuracy", "low", "high",
         "seeds_worth", "lr_at_edge")  # fmt: skip


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a frame with all columns."""
    return pd.DataFrame(list(rows), columns=list(FRAME))


def columns(frame: pd.DataFrame, *names: str) -> list[Any]:
    """Columns as float arrays."""
    return [frame[name].to_numpy(float) for name in names]
