"""Tuned cells and the curve in steps through them, as rows of a figure's frame."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from lars_sweep.fit.analysis.curves_in_steps import StepsFinding
from lars_sweep.fit.engine import Noise
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.steps import StepsFit
from lars_sweep.report.bands import mean_band
from lars_sweep.report.evidence import Evidence, Found

Row = dict[str, Any]
_BAND_POINTS = 13
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
    quantile = stats.norm.ppf(0.975) if math.isinf(noise.nu) else stats.t.ppf(0.975, noise.nu)
    return float(quantile) * math.sqrt(noise.variance / weight)


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


def curve_rows(
    fit: StepsFit, batch: FloatArray, epochs: FloatArray, *, band: bool = True
) -> Iterator[Row]:
    """The averaged curve at (batch, epochs) (m,) each, ascending in one; its 95 % band between.

    The band is computed at a few of the points and interpolated, smoothly and without overshoot.
    """
    from scipy.interpolate import PchipInterpolator

    steps = epochs * fit.samples / batch  # not rounded up to whole steps: a smooth line
    at = np.stack([steps, batch], axis=-1)
    mean = fit.averaged.predict(at)
    low = high = np.full(len(at), np.nan)
    if band:
        few = np.unique(np.linspace(0, len(at) - 1, _BAND_POINTS).astype(int))
        limits = mean_band(fit.averaged, at[few])
        if limits is not None:
            reach = [np.where(np.isfinite(side), side, np.nan) - mean[few] for side in limits]
            known = np.isfinite(reach[0]) & np.isfinite(reach[1])
            if np.sum(known) > 1:
                x = np.log(steps)
                x = x if x[-1] > x[0] else -x
                low, high = (
                    mean + PchipInterpolator(x[few[known]], side[known], extrapolate=False)(x)
                    for side in reach
                )
    for i in range(len(at)):
        yield {
            "what": "fit", "batch": batch[i], "epochs": epochs[i], "steps": steps[i],
            "accuracy": mean[i], "low": low[i], "high": high[i],
        }  # fmt: skip


def along(low: float, high: float, through: Sequence[float]) -> FloatArray:
    """Positions from low to high in equal ratio, and those that lie between."""
    inner = [value for value in through if low <= value <= high]
    return np.unique(np.concatenate([np.geomspace(low, high, _CURVE_POINTS), inner]))


FRAME = ("panel", "title", "series", "what", "batch", "epochs", "steps", "accuracy", "low", "high",
         "seeds_worth", "lr_at_edge")  # fmt: skip


def to_frame(rows: Sequence[Row]) -> pd.DataFrame:
    """The rows as a frame with all columns."""
    return pd.DataFrame(list(rows), columns=list(FRAME))


def columns(frame: pd.DataFrame, *names: str) -> tuple[Any, ...]:
    """Columns as float arrays."""
    return tuple(frame[name].to_numpy(float) for name in names)
