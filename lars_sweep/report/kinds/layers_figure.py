"""Ratios of norms over training, and the predicted against the measured divergence LR."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from lars_sweep.report import canvas
from lars_sweep.report.canvas import INK, MUTED, RED, Canvas
from lars_sweep.report.evidence import Evidence
from lars_sweep.report.fitmarks import Handle, draw_cells
from lars_sweep.report.glyphs import drawable
from lars_sweep.report.kinds.steps_marks import columns
from lars_sweep.report.labels import figure_footer
from lars_sweep.report.marks import handle


def draw_paths(evidence: Evidence, paths: pd.DataFrame, edges: pd.DataFrame) -> Canvas:
    """A line per tensor; the tightest one named."""
    first = paths.drop_duplicates("panel")
    titles = {int(p): str(t) for p, t in zip(first["panel"], first["title"], strict=True)}
    legend: list[Handle] = [
        Line2D([], [], color=MUTED, linewidth=0.9, label="one tensor"),
        Line2D([], [], color=RED, linewidth=1.6, label="the tightest at first"),
    ]
    if edges["measured"].notna().any():
        legend.append(
            Line2D(
                [], [], color=INK, linewidth=1, linestyle="--", label="half of the seeds diverge"
            )
        )
    grid = canvas.make_canvas(
        [(number, number, "") for number in titles], titles,
        legend=legend, footer=figure_footer(evidence.observations, evidence.fixture),
        left=0.82,
    )  # fmt: skip
    for number, slot in grid.slots.items():
        mine = paths[paths["panel"] == number]
        _draw_lines(slot.main, mine)
        of, batch = mine["of"].iloc[0], mine["global_batch"].iloc[0]
        edge = edges[(edges["panel"] == of) & (edges["global_batch"] == batch)]
        _draw_measured(slot.main, edge)
        slot.main.set_xlabel("optimizer steps")
        slot.main.set_ylabel("‖w‖ / ‖∇L‖, in units of LR")
    return grid


def _draw_lines(axes: Axes, mine: pd.DataFrame) -> None:
    start = mine[mine["step"] == mine["step"].min()]
    tightest = start.loc[start["ratio"].idxmin(), "layer"] if len(start) else None
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.9, int(mine["order"].max()) + 1))
    lines, colors = [], []
    for (order, layer), rows in mine.groupby(["order", "layer"]):
        x, y = columns(rows.sort_values("step"), "step", "ratio")
        if layer == tightest:
            axes.plot(x, y, color=RED, linewidth=1.7, zorder=3)
            axes.annotate(drawable(str(layer)), (x[-1], y[-1]), xytext=(-3, 3), ha="right", size=7,
                          textcoords="offset points", color=RED, zorder=4)  # fmt: skip
            continue
        lines.append(np.stack([x, y], axis=-1))
        colors.append(shades[int(float(str(order)))])
    axes.add_collection(LineCollection(lines, colors=colors, linewidths=0.8, alpha=0.75))
    low, high = float(mine["ratio"].min()), float(mine["ratio"].max())
    axes.set_yscale("log")
    axes.set_ylim(low / 1.6, high * 1.6)
    axes.set_xlim(0, float(mine["step"].max()) * 1.02)


def _draw_measured(axes: Axes, edge: pd.DataFrame) -> None:
    if edge.empty or np.isnan(edge["measured"].iloc[0]):
        return
    value, low, high = (float(edge[name].iloc[0]) for name in ("measured", "low", "high"))
    axes.axhline(value, color=INK, linewidth=1, linestyle="--", zorder=2)
    bottom, top = axes.get_ylim()
    axes.set_ylim(min(bottom, value / 1.6), max(top, value * 1.6))
    if np.isfinite([low, high]).all():
        axes.axhspan(low, high, color=INK, alpha=0.07, linewidth=0, zorder=0.5)


def draw_edges(evidence: Evidence, edges: pd.DataFrame) -> Canvas:
    """Predicted and measured divergence LR per batch."""
    drawn = edges[edges["measured"].notna() | edges["predicted"].notna()]
    first = drawn.drop_duplicates("panel")
    titles = {int(p): str(t) for p, t in zip(first["panel"], first["title"], strict=True)}
    slots = [(int(p), int(p), "") for p in first["panel"]]
    legend: list[Handle] = [
        handle("predicted by the norms", marker="D", color=INK, hollow=True),
        handle("half of the seeds diverge", marker="o", color=RED),
    ]
    grid = canvas.make_canvas(
        slots, titles, legend=legend,
        footer=figure_footer(evidence.observations, evidence.fixture),
        left=0.82,
    )  # fmt: skip
    for number, slot in grid.slots.items():
        axes, mine = slot.main, drawn[drawn["panel"] == number]
        batch, predicted, measured, low, high = columns(
            mine, "global_batch", "predicted", "measured", "low", "high"
        )
        seen = np.concatenate([predicted, measured, low, high])
        seen = seen[np.isfinite(seen)]
        canvas.batch_axis(axes, [int(b) for b in batch])
        canvas.log_y_axis(axes, float(seen.min()), float(seen.max()), "LR")
        nothing = np.full(len(batch), np.nan)
        draw_cells(axes, batch, predicted, (nothing, nothing), color=INK, marker="D",
                   hollow=np.ones(len(batch)))  # fmt: skip
        draw_cells(axes, batch, measured, (low, high), color=RED, marker="o")
    return grid
