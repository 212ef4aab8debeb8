"""Steps and hours to a target against the batch, on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lars_sweep.fit.analysis.critical import CriticalFinding
from lars_sweep.nouns import count
from lars_sweep.report import canvas
from lars_sweep.report.canvas import INK, MUTED, OPTIMIZER_COLORS, Canvas
from lars_sweep.report.evidence import Evidence, Panel
from lars_sweep.report.fitmarks import Handle, draw_cells, draw_curve
from lars_sweep.report.grid import WIDE_LABELS, panel_grid
from lars_sweep.report.kinds.steps_marks import columns
from lars_sweep.report.marks import handle

DEVICE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_LAW: dict[str, Any] = {"color": INK, "linestyle": ":", "linewidth": 1.4}
DEVICE_MARKERS = ("o", "s", "D", "^", "v", "P")


def draw_steps_to_target(
    evidence: Evidence, shown: Sequence[Panel[CriticalFinding]], frame: pd.DataFrame
) -> Canvas:
    """Steps to the target per batch, the fit, its small-batch law, the line of perfect scaling."""
    legend: list[Handle] = [handle("steps to the target", marker="o", color=INK)]
    if (frame["what"] == "not reached").any():
        legend.append(handle("not reached", marker="o", color=INK, hollow=True))
    legend.append(
        Line2D([], [], color=MUTED, linestyle="--", linewidth=1.1, label="perfect scaling")
    )
    if (frame["what"] == "fit").any():
        legend.append(Line2D([], [], color=INK, linewidth=1.5, label="fit"))
        legend.append(Line2D([], [], label="small-batch law", **_LAW))
    if (frame["what"] == "B_half").any():
        legend.append(Line2D([], [], color="#d55e00", linewidth=1.3, label="B½, 95 % shaded"))
    grid = panel_grid(
        evidence,
        shown,
        legend=legend,
        left=WIDE_LABELS,
    )
    for panel in shown:
        mine = frame[frame["panel"] == panel.number]
        color = OPTIMIZER_COLORS.get(panel.optimizer, INK)
        _draw_steps(grid.slots[panel.number].main, mine, color)
    return grid


def _draw_steps(axes: Axes, mine: pd.DataFrame, color: str) -> None:
    by = {str(what): rows for what, rows in mine.groupby("what")}
    seen = mine[mine["what"].isin(["reached", "not reached"])]
    batches = [int(b) for b in seen["batch"]]
    canvas.batch_axis(axes, batches)
    low, high = float(seen["steps"].min()), float(seen["steps"].max())
    canvas.log_y_axis(axes, low / 1.3, high * 1.3, "optimizer steps to the target")
    left, right = axes.get_xlim()
    if "perfect scaling" in by:
        x, y = columns(by["perfect scaling"], "batch", "steps")
        axes.plot(x, y, "--", color=MUTED, linewidth=1.1, zorder=1.5)
    if "small-batch law" in by:
        x, y = columns(by["small-batch law"], "batch", "steps")
        axes.plot(x, y, zorder=1.6, **_LAW)
    if "fit" in by:
        x, y = columns(by["fit"], "batch", "steps")
        draw_curve(axes, x, y, None, (min(batches), max(batches)), color)
    if "B_half" in by:
        half, start, end = (float(by["B_half"][n].iloc[0]) for n in ("batch", "low", "high"))
        start = left if np.isnan(start) else start
        end = right if np.isnan(end) else end
        axes.axvspan(max(start, left), min(end, right), color="#d55e00", alpha=0.1, linewidth=0)
        if left <= half <= right:
            axes.axvline(half, color="#d55e00", linewidth=1.3, zorder=1.4)
    for what in ("reached", "not reached"):
        if what not in by:
            continue
        x, y, bottom, top = columns(by[what], "batch", "steps", "low", "high")
        hollow = np.full(len(x), what == "not reached")
        draw_cells(axes, x, y, (bottom, top), color=color, marker="o", hollow=hollow)
        if what == "not reached":
            for at, steps in zip(x, y, strict=True):
                arrow = {"arrowstyle": "-|>", "color": color, "lw": 1}
                axes.annotate("", (at, steps * 1.5), (at, steps * 1.08), arrowprops=arrow)


def draw_clock(
    evidence: Evidence, shown: Sequence[Panel[CriticalFinding]], frame: pd.DataFrame
) -> Canvas:
    """Hours to the target per batch, a line per number of devices."""
    devices = sorted(int(d) for d in frame["devices"].unique())
    looks = {d: (DEVICE_COLORS[i % 6], DEVICE_MARKERS[i % 6]) for i, d in enumerate(devices)}
    legend: list[Handle] = [
        handle(count(d, "device"), marker=looks[d][1], color=looks[d][0]) for d in devices
    ]
    grid = panel_grid(
        evidence,
        shown,
        legend=legend,
        left=WIDE_LABELS,
    )
    for panel in shown:
        axes, mine = grid.slots[panel.number].main, frame[frame["panel"] == panel.number]
        canvas.batch_axis(axes, [int(b) for b in mine["batch"]])
        canvas.log_y_axis(axes, float(mine["low"].min()), float(mine["high"].max()),
                          "hours to the target")  # fmt: skip
        for number, rows in mine.sort_values("batch").groupby("devices"):
            color, marker = looks[int(float(str(number)))]
            x, y, low, high = columns(rows, "batch", "hours", "low", "high")
            axes.plot(x, y, color=color, linewidth=0.8, alpha=0.6, zorder=1.8)
            draw_cells(axes, x, y, (low, high), color=color, marker=marker)
    return grid
