"""Accuracy against base LR, one colour per batch (the paper's Figure 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lars_sweep.report import canvas
from lars_sweep.report.canvas import INK, MUTED, RED, Shape
from lars_sweep.report.labels import batch_label, choice_split, footer, panel_labels
from lars_sweep.report.marks import (
    batch_legend,
    batch_style,
    draw_joins,
    draw_means,
    draw_seeds,
    handle,
    seed_handle,
)
from lars_sweep.report.observations import SETTING, STRATUM, Observations, rows_of

FLOOR_BELOW_CHOSEN = 15.0
"""Points: a panel row ends this far below its worst chosen point; what lies lower is marked on the
lower edge, so that runs near chance do not squash the differences that matter."""


def lr_frame(observations: Observations) -> pd.DataFrame:
    """One row per trial: where its mark stands, and the mean of its point."""
    means = observations.points[["point_id", "ok_mean"]]
    frame = observations.trials.merge(means, on="point_id", how="left", validate="m:1")
    columns = ["trial_id", *STRATUM, *SETTING, "lr_peak", "seed", "status", "cause"]
    frame = frame.rename(columns={"ok_mean": "mean_of_ok_seeds"})
    return frame[[*columns, "choice_accuracy", "accuracy_at_stop", "mean_of_ok_seeds", "chosen"]]


def draw_lr(observations: Observations, shape: Shape) -> Figure:
    """Accuracy against base LR, a colour per batch; diverged runs on the strip below (Figure 3)."""
    trials, points = observations.trials, observations.points
    batches = observations.batches
    lost = points[points["diverged"] > 0]
    lost_batches = sorted(lost["global_batch"].unique())
    grid = canvas.make_canvas(
        canvas.arrange(canvas.panels_of(points), shape),
        panel_labels(observations.strata, observations.panel_fields),
        shape,
        legend=_lr_legend(observations, has_lost=not lost.empty),
        footer=footer(observations),
        strip_rows=len(lost_batches),
    )
    limits = _lr_limits(observations)
    for key, slot in grid.slots.items():
        mine = points[points["panel"] == key]
        bottom, top = limits[int(mine["row"].iloc[0])]
        _lr_marks(slot.main, trials[trials["panel"] == key], mine, observations, bottom)
        low, high = float(mine["base_lr"].min()), float(mine["base_lr"].max())
        canvas.lr_axis(slot.main, low, high, ticks=slot.strip is None)
        slot.main.set_ylim(bottom, top)
        slot.main.set_ylabel(f"top-1 on {choice_split(observations)} (%)")
        slot.main.set_xlabel("")  # seaborn wrote the column's name
        if slot.strip is not None:
            canvas.lr_axis(slot.strip, low, high)
            _lost_marks(slot.strip, mine[mine["diverged"] > 0], lost_batches, batches)
        (slot.strip or slot.main).set_xlabel("base LR γ (nominal)")
    return grid.figure


def _lr_limits(observations: Observations) -> dict[int, tuple[float, float]]:
    """Row → limits of y, the same for all panels of a row."""
    trials, strata = observations.trials, observations.strata
    drawn = trials["choice_accuracy"].where(trials["status"] == "ok")
    limits = {}
    for row, values in drawn.groupby(trials["row"]):
        low, high = (values.min(), values.max()) if values.notna().any() else (0.0, 100.0)
        chosen = strata.loc[strata["row"] == row, "choice_mean"].min()
        if not math.isnan(chosen):
            low = max(low, chosen - FLOOR_BELOW_CHOSEN)
        limits[int(str(row))] = canvas.accuracy_limits(low, high)
    return limits


def _lr_marks(
    axes: Axes, trials: pd.DataFrame, points: pd.DataFrame, obs: Observations, bottom: float
) -> None:
    style = batch_style(obs.batches)
    colors = style["palette"]
    means = points.dropna(subset="ok_mean")
    below = means["ok_mean"] < bottom
    ok = trials[trials["status"] == "ok"]
    if ok.empty:
        axes.text(0.5, 0.5, "no trial ended ok", transform=axes.transAxes, ha="center", color=MUTED)
    draw_seeds(axes, ok, "base_lr", "choice_accuracy", "global_batch", style)
    if not obs.searched:  # else neighbours in LR differ in more than the LR
        draw_joins(axes, means, "base_lr", "ok_mean", "global_batch", style)
    draw_means(axes, means[~below], "base_lr", "ok_mean", "global_batch", style)
    axes.scatter(
        means["base_lr"][below], [bottom] * int(below.sum()), s=26, marker=7, clip_on=False,
        c=[colors[batch] for batch in means["global_batch"][below]], zorder=4,
    )  # fmt: skip
    chosen = points[points["chosen"]]
    axes.scatter(
        chosen["base_lr"], chosen["ok_mean"], s=110, facecolors="none", edgecolors=INK,
        linewidths=1.2, zorder=5,
    )  # fmt: skip
    pruned = trials[(trials["status"] == "pruned") & trials["accuracy_at_stop"].notna()]
    axes.scatter(
        pruned["base_lr"], pruned["accuracy_at_stop"].clip(lower=bottom), s=20, marker="D",
        facecolors="none", linewidths=0.9, zorder=2, clip_on=False,
        edgecolors=[colors[batch] for batch in pruned["global_batch"]],
    )  # fmt: skip


def _lost_marks(
    axes: Axes, points: pd.DataFrame, lost_batches: Sequence[int], batches: Sequence[int]
) -> None:
    """Red crosses, a line per batch; k/r beside a point that lost only some of its seeds."""
    colors = canvas.batch_colors(batches)
    for line, batch in enumerate(lost_batches):
        rows = points[points["global_batch"] == batch]
        axes.axhline(line, color=colors[batch], linewidth=0.8, alpha=0.45, zorder=1)
        axes.plot(rows["base_lr"], [line] * len(rows), "x", color=RED, markersize=4.6,
                  markeredgewidth=1.2, zorder=3)  # fmt: skip
        for row in rows_of(rows[rows["diverged"] < rows["seeds"]]):
            axes.annotate(
                f"{row.diverged}/{row.seeds}", (row.base_lr, line), xytext=(-4, 0), ha="right",
                textcoords="offset points", size=6.5, color=RED, va="center",
            )  # fmt: skip
    axes.set_ylim(len(lost_batches) - 0.4, -0.6)
    axes.set_yticks(range(len(lost_batches)), [batch_label(batch) for batch in lost_batches])
    axes.tick_params(axis="y", length=0, labelsize=7)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)


def _lr_legend(observations: Observations, *, has_lost: bool) -> list[Line2D]:
    trials = observations.trials
    handles = batch_legend(observations.batches, observations.batches)
    if (observations.points["ok"] > 1).any():
        handles.append(seed_handle())
    if observations.strata["choice_mean"].notna().any():
        handles.append(handle("chosen", marker="o", color=INK, markersize=9, hollow=True))
    if (trials["status"] == "pruned").any():
        handles.append(handle("pruned at", marker="D", color=MUTED, markersize=4.5, hollow=True))
    if has_lost:
        handles.append(handle("diverged, k/r unless all", marker="x", color=RED, markersize=5))
    points = observations.points
    floor = points["row"].map({row: low for row, (low, _) in _lr_limits(observations).items()})
    if (points["ok_mean"] < floor).any():
        handles.append(handle("lower still", marker=7, color=MUTED, markersize=6))
    return handles
