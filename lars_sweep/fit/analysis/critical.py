"""Where bigger batches stop paying, of one group: in steps, and on the clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis.curves_in_steps import StepsFinding, Target
from lars_sweep.fit.analysis.entries import Missing, TooLittle, attempt
from lars_sweep.fit.analysis.groups import Group
from lars_sweep.fit.answers import Answer
from lars_sweep.fit.critical_batch import (
    CriticalBatch,
    WallClock,
    fit_critical_batch,
    speed_up,
    steps_to_target,
    wall_clock,
)
from lars_sweep.fit.rows import Rows
from lars_sweep.fit.steps import StepsFit


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalFinding:
    """Where bigger batches stop paying, in steps and on the clock."""

    target: Target
    fit: CriticalBatch | TooLittle
    clock: tuple[WallClock, ...]
    """Hours to the target per (batch, devices) that was timed, fastest first."""
    speed_ups: tuple[Answer, ...]
    """Of the fastest over each of ``clock``."""
    clock_note: str
    """Why there are no times, or on what they were measured."""


def critical_finding(group: Group, steps: StepsFinding) -> CriticalFinding | Missing:
    """Steps to the target against the batch, and hours where steps were timed."""
    noise = steps.noise
    if noise is None and isinstance(steps.fit, StepsFit):
        noise = steps.fit.averaged.noise
    if noise is None:
        return TooLittle("no sigma: neither replicate seeds, nor a stated one, nor a curve's")
    points = steps_to_target(steps.cells, noise, steps.target.value, steps.target.se)
    fit = attempt(lambda: fit_critical_batch(points))
    times, note = step_times(group.rows)
    clock = wall_clock(points, times)
    return CriticalFinding(
        target=steps.target,
        fit=fit if isinstance(fit, CriticalBatch) else TooLittle(fit.reason),
        clock=clock,
        speed_ups=tuple(speed_up(clock[0], other) for other in clock[1:]),
        clock_note=note if clock or not times else "no timed batch reached the target in between",
    )


def step_times(rows: Rows) -> tuple[dict[tuple[float, int], tuple[float, float]], str]:
    """Seconds per step and their standard error by (batch, devices), and a word about them.

    From the runs' median throughput; the mean over runs, with the spread between them, at least
    1 % (a single run tells nothing of it).
    """
    if any(name not in rows for name in ("images_per_s", "wall_s", "device_s")):
        return {}, "the table holds no measured throughput"
    rate, wall = rows.floats("images_per_s"), rows.floats("wall_s")
    usable = rows.where((rows.status == "ok") & (rate > 0) & (wall > 0))
    kinds = sorted({str(kind) for kind in usable["device"].tolist()}) if "device" in rows else [""]
    if len(kinds) != 1:
        told = f"times of different devices are not compared: {', '.join(kinds)}"
        return {}, told if kinds else "no finished run has a measured throughput"
    devices = np.round(usable.floats("device_s") / usable.floats("wall_s"))
    found = {}
    for batch in np.unique(usable.floats("global_batch")):
        for count in np.unique(devices):
            here = (usable.floats("global_batch") == batch) & (devices == count)
            if not here.any():
                continue
            seconds = batch / usable.floats("images_per_s")[here]
            mean = float(np.mean(seconds))
            se = float(np.std(seconds, ddof=1) / np.sqrt(len(seconds))) if len(seconds) > 1 else 0.0
            found[float(batch), int(count)] = (mean, max(se, 0.01 * mean))
    return found, f"measured on {kinds[0]}" if kinds[0] else "measured"
