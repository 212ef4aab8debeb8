"""Accuracy against epochs, with the epochs to the target below; accuracy against steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lars_sweep.fit.analysis.curves_in_steps import EpochsFinding
from lars_sweep.fit.answers import Interval
from lars_sweep.report import canvas
from lars_sweep.report.canvas import INK, MUTED, Canvas
from lars_sweep.report.evidence import Evidence, Panel
from lars_sweep.report.fitmarks import (
    Handle,
    draw_cells,
    draw_curve,
    draw_dots,
    draw_interval,
    draw_level,
    fit_handles,
)  # fmt: skip
from lars_sweep.report.grid import lines_of, panel_grid
from lars_sweep.report.kinds.steps_marks import columns
from lars_sweep.report.labels import batch_label, number, reported_on
from lars_sweep.report.marks import batch_legend, seed_handle

FAR = 4.0
"""The axis of epochs ends at most this many times the most epochs run."""


def draw_epochs(
    evidence: Evidence, shown: Sequence[Panel[EpochsFinding]], frame: pd.DataFrame
) -> Canvas:
    """A colour per batch, its curve, and its epochs to the target on the strip below."""
    answered = frame[frame["what"].str.startswith("target")]
    rows = {panel.number: panel.row for panel in shown}
    lines = lines_of(answered.assign(row=answered["panel"].map(rows)), "row", "batch")
    room = max(map(len, lines.values()), default=0)
    grid = panel_grid(
        evidence,
        shown,
        legend=_legend(evidence, frame, answers=room > 0),
        strip_rows=room,
    )
    for panel in shown:
        slot, mine = grid.slots[panel.number], frame[frame["panel"] == panel.number]
        told = panel.members[0].found
        assert told is not None
        ends = _epochs_limits(mine)
        epochs = sorted(float(e) for e in mine[mine["what"] == "cell"]["epochs"].unique())
        for axes in (slot.main, slot.strip):
            if axes is not None:
                _epochs_axis(axes, epochs, ends)
        _draw_batches(slot.main, mine, evidence, "epochs")
        _accuracy_axis(slot.main, mine, evidence)
        target = told.steps.target
        own = Interval(low=target.value - 1.96 * target.se, high=target.value + 1.96 * target.se)
        draw_level(slot.main, target.value, own if target.se else None, "target")
        if slot.strip is None:
            slot.main.set_xlabel("epochs")
            continue
        slot.main.tick_params(axis="x", length=0, labelbottom=False)
        slot.strip.set_xlabel("epochs, and epochs to the target")
        _draw_answers(slot.strip, mine, lines.get(panel.row, []), room, evidence)
    return grid


def _epochs_limits(mine: pd.DataFrame) -> tuple[float, float]:
    cells = mine[mine["what"] == "cell"]["epochs"]
    answers = mine[mine["what"].str.startswith("target")]
    wanted = [float(v) for v in (*answers["epochs"], *answers["high"]) if np.isfinite(v)]
    most = float(cells.max())
    return float(cells.min()) / 1.25, min(max([2.1 * most, *(1.1 * w for w in wanted)]), FAR * most)


def _epochs_axis(axes: Axes, epochs: Sequence[float], ends: tuple[float, float]) -> None:
    """Ticks at the epochs run, and doublings beyond."""
    ticks = list(epochs)
    while 2 * ticks[-1] < ends[1]:
        ticks.append(2 * ticks[-1])
    canvas.doubling_axis(axes, ticks, [number(tick) for tick in ticks])
    axes.set_xlim(*ends)


def _draw_batches(axes: Axes, mine: pd.DataFrame, evidence: Evidence, x: str) -> None:
    batches = evidence.observations.batches
    colors, markers = canvas.batch_colors(batches), canvas.batch_markers(batches)
    for batch, rows in mine[mine["what"] != "fit over steps"].groupby("batch"):
        color = colors[int(float(str(batch)))]
        seeds, cells, curve = (rows[rows["what"] == name] for name in ("seed", "cell", "fit"))
        seed_x, seed_y = columns(seeds, x, "accuracy")
        draw_dots(axes, seed_x, seed_y, color)
        at, accuracy, low, high = columns(cells, x, "accuracy", "low", "high")
        if len(curve):
            line_x, line_y, bottom, top = columns(curve, x, "accuracy", "low", "high")
            draw_curve(axes, line_x, line_y, (bottom, top), (at.min(), at.max()), color)
        hollow = cells["lr_at_edge"].to_numpy(bool)
        marker = markers[int(float(str(batch)))]
        draw_cells(axes, at, accuracy, (low, high), color=color, marker=marker, hollow=hollow)


def _draw_answers(
    axes: Axes, mine: pd.DataFrame, lines: Sequence[int], room: int, evidence: Evidence
) -> None:
    colors = canvas.batch_colors(evidence.observations.batches)
    canvas.strip_axis(axes, [batch_label(batch) for batch in lines], room)
    for line, batch in enumerate(lines):
        axes.axhline(line, color=colors[batch], linewidth=0.6, alpha=0.35, zorder=1)
        rows = mine[(mine["batch"] == batch) & mine["what"].str.startswith("target")]
        if rows.empty:
            continue
        value, low, high = (float(rows[name].iloc[0]) for name in ("epochs", "low", "high"))
        if rows["what"].iloc[0] == "target cannot":
            axes.text(0.99, line, "never", transform=axes.get_yaxis_transform(), ha="right",
                      va="center", size=6.5, color=colors[batch])  # fmt: skip
        elif np.isfinite([value, low, high]).any():
            draw_interval(axes, value, (low, high), line, colors[batch])


def draw_steps(
    evidence: Evidence, shown: Sequence[Panel[EpochsFinding]], frame: pd.DataFrame
) -> Canvas:
    """All cells of a network on one curve in steps."""
    grid = panel_grid(
        evidence,
        shown,
        legend=_legend(evidence, frame, answers=False),
    )
    for panel in shown:
        axes, mine = grid.slots[panel.number].main, frame[frame["panel"] == panel.number]
        _draw_batches(axes, mine, evidence, "steps")
        cells, curve = (mine[mine["what"] == name] for name in ("cell", "fit over steps"))
        low, high = float(cells["steps"].min()), float(cells["steps"].max())
        canvas.steps_axis(axes, low / 1.2, high * (2.2 if len(curve) else 1.2))
        if len(curve):
            x, y, bottom, top = columns(curve, "steps", "accuracy", "low", "high")
            draw_curve(axes, x, y, (bottom, top), (low, high), INK)
        _accuracy_axis(axes, mine, evidence)
    return grid


def _accuracy_axis(axes: Axes, mine: pd.DataFrame, evidence: Evidence) -> None:
    seen = mine[mine["what"].isin(["seed", "cell"])]["accuracy"]
    axes.set_ylim(canvas.accuracy_limits(float(seen.min()), float(seen.max())))
    axes.set_ylabel(f"top-1 {reported_on(evidence.observations)} (%)")


def _legend(evidence: Evidence, frame: pd.DataFrame, *, answers: bool) -> list[Handle]:
    shown = sorted(int(b) for b in frame[frame["what"] == "cell"]["batch"].unique())
    handles: list[Handle] = [*batch_legend(shown, evidence.observations.batches)]
    if (frame["what"] == "seed").any():
        handles.append(seed_handle())
    fitted = frame[frame["what"].str.startswith("fit")]
    if len(fitted):
        handles += fit_handles(band=bool(fitted["low"].notna().any()), outside=True)
    if answers:
        handles.append(
            Line2D([], [], color=MUTED, linewidth=4, alpha=0.6, label="epochs to the target")
        )
    return handles
