"""Accuracy at the chosen LR: against batch, and against epochs."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lars_sweep.report import canvas
from lars_sweep.report.canvas import INK, MUTED, Canvas, Shape
from lars_sweep.report.labels import footer, number, optimizer_label, panel_labels, row_labels
from lars_sweep.report.marks import (
    Style,
    batch_legend,
    batch_style,
    draw_joins,
    draw_means,
    draw_seeds,
    handle,
    seed_handle,
)
from lars_sweep.report.observations import SETTING, STRATUM, Observations, epochs_strata

DODGE = 0.018
"""Share of the axis by which the marks of one batch (or of one number of epochs) stand apart."""


def chosen_frame(observations: Observations) -> pd.DataFrame:
    """One row per seed of a chosen point, with the point's mean, sd and n, and the grid's edge."""
    columns = [*STRATUM, "n", "report_mean", "report_sd", "choice_mean", "choice_sd", "edge"]
    strata = observations.strata[columns].rename(columns={"edge": "edge_of_tested_lrs"})
    chosen = observations.trials[observations.trials["chosen"]]
    frame = chosen.merge(strata, on=list(STRATUM), how="left", validate="m:1")
    about = ["trial_id", *STRATUM, *SETTING, "lr_peak", "seed", "status"]
    return frame[[*about, "choice_accuracy", "report_accuracy", *strata.columns.drop([*STRATUM])]]


def draw_batch(observations: Observations, shape: Shape) -> Figure:
    """Accuracy on the reporting split against batch at the chosen LR, a line per optimizer."""
    strata = observations.strata.dropna(subset="point_id").copy()
    titles = row_labels(observations)
    strata["panel"] = strata["row"]
    optimizers = list(strata.sort_values("row")["optimizer"].unique())
    style: Style = {
        "palette": {name: canvas.OPTIMIZER_COLORS.get(name, INK) for name in optimizers},
        "markers": {name: canvas.OPTIMIZER_MARKERS.get(name, "v") for name in optimizers},
    }
    legend = [
        handle(optimizer_label(name), marker=style["markers"][name], color=style["palette"][name])
        for name in optimizers
    ]
    grid = _chosen_canvas(observations, strata, titles, shape, legend, side_by_side=False)
    batches = sorted(int(b) for b in strata["global_batch"].unique())
    for row, slot in grid.slots.items():
        mine = strata[strata["panel"] == row]
        _chosen_marks(slot.main, observations, mine, "global_batch", "optimizer", style)
        canvas.batch_axis(slot.main, batches)
    _compare_within_task(grid, strata)
    return grid.figure


def draw_epochs(observations: Observations, shape: Shape) -> Figure:
    """Accuracy on the reporting split against epochs at the chosen LR, a line per batch."""
    strata = epochs_strata(observations)
    titles = panel_labels(strata, [f for f in observations.panel_fields if f != "epochs"])
    legend = batch_legend(sorted(strata["global_batch"].unique()), observations.batches)
    grid = _chosen_canvas(observations, strata, titles, shape, legend, side_by_side=True)
    style = batch_style(observations.batches)
    epochs = sorted(float(e) for e in strata["epochs"].unique())
    for panel, slot in grid.slots.items():
        mine = strata[strata["panel"] == panel]
        _chosen_marks(slot.main, observations, mine, "epochs", "global_batch", style)
        canvas.doubling_axis(slot.main, epochs, [number(e) for e in epochs])
        slot.main.set_xlabel("epochs")
    _compare_within_task(grid, strata)
    return grid.figure


def _chosen_canvas(
    obs: Observations, strata: pd.DataFrame, titles: dict[int, str], shape: Shape,
    legend: list[Line2D], *, side_by_side: bool,
) -> Canvas:  # fmt: skip
    """One slot per panel of ``strata``, its y axis named, the legend completed."""
    if (strata["n"] > 1).any():
        legend.append(seed_handle())
    if (strata["edge"] != "").any():
        label = "LR at the grid's edge"
        legend.append(handle(label, marker="o", color=MUTED, markersize=6, hollow=True))
    panels = [(p, r, o if side_by_side else "") for p, r, o in canvas.panels_of(strata)]
    rows = canvas.arrange(panels, shape)
    grid = canvas.make_canvas(rows, titles, shape, legend=legend, footer=footer(obs))
    for slot in grid.slots.values():
        slot.main.set_ylabel("top-1 on test (%)")
    return grid


def _chosen_marks(
    axes: Axes, obs: Observations, strata: pd.DataFrame, x: str, hue: str, style: Style
) -> None:
    hues = list(style["palette"])
    span = math.log2(strata[x].max() / strata[x].min()) + 1
    step = 2.0 ** (DODGE * span)
    apart = {value: step ** (i - (len(hues) - 1) / 2) for i, value in enumerate(hues)}
    strata = strata.assign(x=strata[x] * strata[hue].map(apart).astype(float))
    seeds = obs.trials[["point_id", "report_accuracy"]].merge(strata, on="point_id", validate="m:1")
    draw_seeds(axes, seeds, "x", "report_accuracy", hue, style)
    draw_joins(axes, strata, "x", "report_mean", hue, style)
    inside = strata["edge"] == ""
    draw_means(axes, strata[inside], "x", "report_mean", hue, style)
    draw_means(axes, strata[~inside], "x", "report_mean", hue, style, hollow=True)
    low, high = seeds["report_accuracy"].min(), seeds["report_accuracy"].max()
    axes.set_ylim(canvas.accuracy_limits(low, high))


def _compare_within_task(grid: Canvas, strata: pd.DataFrame) -> None:
    """One y range for the panels of one model and data set."""
    for _, mine in strata.groupby(["model", "dataset"]):
        canvas.share_y([grid.slots[int(panel)].main for panel in mine["panel"].unique()])
