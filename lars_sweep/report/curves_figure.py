"""Train loss and accuracy over training at the chosen LR (the paper's Figures 2 and 4)."""

from __future__ import annotations

import pandas as pd

from lars_sweep.report import canvas
from lars_sweep.report.canvas import Canvas
from lars_sweep.report.evidence import Evidence
from lars_sweep.report.labels import chosen_on, figure_footer, panel_labels
from lars_sweep.report.marks import batch_legend, batch_style, draw_over_time
from lars_sweep.report.observations import SETTING, STRATUM, Observations


def curves_frame(observations: Observations) -> pd.DataFrame:
    """One row per evaluation of an ok trial at a chosen point."""
    about = observations.trials[["trial_id", *STRATUM, *SETTING, "seed"]].rename(
        columns={"epochs": "epochs_planned"}
    )
    frame = observations.curves.drop(
        columns=["panel", "row", "optimizer", "global_batch", "seed", "split", "accuracy"]
    )
    return frame.merge(about, on=["run", "trial_id"], how="left", validate="m:1")


def draw_curves(evidence: Evidence) -> Canvas:
    """Train loss and accuracy over training at the chosen LR: seeds thin, their mean thick."""
    observations = evidence.observations
    curves = observations.curves
    titles = panel_labels(observations.strata, observations.panel_fields)
    panels = [panel for panel, _, _ in canvas.panels_of(curves)]
    # Two slots per panel, side by side: the loss has the even key, the accuracy the odd one after.
    keys = [(2 * panel, 2 * panel + 1) for panel in panels]
    named = {key: titles[key // 2] for pair in keys for key in pair}
    batches = sorted(int(b) for b in curves["global_batch"].unique())
    grid = canvas.make_canvas(
        [(key, key // 2, str(key % 2)) for key in named], named,
        legend=batch_legend(batches, observations.batches),
        footer=figure_footer(observations, evidence.fixture),
    )  # fmt: skip
    for key, slot in grid.slots.items():
        mine = curves[curves["panel"] == key // 2]
        y, label = (
            ("accuracy", f"top-1 {chosen_on(observations)} (%)")
            if key % 2
            else ("train_loss", "train loss (nats)")
        )
        if y == "train_loss" and _spans_decades(curves[y]):
            slot.main.set_yscale("log")
        # Before seaborn draws: it spends most of its time on whether to make up labels.
        slot.main.set_xlabel("epochs done")
        slot.main.set_ylabel(label)
        draw_over_time(slot.main, mine, y, batch_style(observations.batches))
    for parity in (0, 1):
        canvas.share_y([slot.main for key, slot in grid.slots.items() if key % 2 == parity])
    return grid


def _spans_decades(values: pd.Series[float]) -> bool:
    return bool(values.min() > 0 and values.max() > 30 * values.min())
