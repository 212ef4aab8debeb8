"""The sections of a report: each a verdict, and a figure or tables that show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from lars_sweep.report import tables, verdicts
from lars_sweep.report.canvas import Shape
from lars_sweep.report.chosen_figures import chosen_frame, draw_batch, draw_epochs
from lars_sweep.report.curves_figure import curves_frame, draw_curves
from lars_sweep.report.labels import choice_split
from lars_sweep.report.lr_figure import draw_lr, lr_frame
from lars_sweep.report.observations import Observations, epochs_strata
from lars_sweep.report.tables import Table
from lars_sweep.report.verdicts import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A figure to be drawn, and the rows that it shows."""

    name: str
    """Stem of its files."""
    alt: str
    """What a reader who cannot see it needs to know; the verdict says the rest."""
    caption: str
    draw: Callable[[Observations, Shape], Figure]
    frame: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the page."""

    kind: str
    """Its anchor, and the word that asks for it."""
    title: str
    verdict: Verdict
    drawing: Drawing | None = None
    tables: tuple[Table, ...] = ()


def outcomes_section(observations: Observations) -> Section:
    """What was run and how it ended."""
    return Section(
        kind="outcomes",
        title="Outcomes",
        verdict=verdicts.outcomes_verdict(observations),
        tables=(tables.endings_table(observations),) if len(observations.strata) else (),
    )


def lr_section(observations: Observations) -> Section:
    """Accuracy against base LR, per batch (the paper's Figure 3)."""
    split = choice_split(observations)
    caption = [
        "Dots are single seeds, markers the mean of the ok seeds; lines only join them.",
        f"A ring marks the point with the best mean on {split}, where a diverged seed counts as "
        "chance.",
        "Marks on the lower edge lie below it.",
    ]
    if (observations.points["diverged"] > 0).any():
        caption.append(
            "Red crosses, a line per batch: LRs at which seeds diverged, k/r where k of r did and "
            "nothing where all did."
        )
    drawing = Drawing(
        name="accuracy-vs-lr",
        alt=f"Accuracy on {split} against base learning rate, one line per global batch and one "
        "panel per optimizer; diverged runs are crosses on a strip below.",
        caption=" ".join(caption),
        draw=draw_lr,
        frame=lr_frame(observations),
    )
    return Section(
        kind="lr",
        title="Accuracy and learning rate",
        verdict=verdicts.lr_verdict(observations),
        drawing=None if observations.trials.empty else drawing,
        tables=(tables.chosen_table(observations),) if len(observations.strata) else (),
    )


def batch_section(observations: Observations) -> Section:
    """Accuracy against batch at the chosen LR."""
    drawing = Drawing(
        name="accuracy-vs-batch",
        alt="Accuracy on test against global batch at the chosen learning rate, one line per "
        "optimizer.",
        caption="Dots are single seeds, markers their mean; lines only join them. Marks of one "
        "batch stand slightly apart. Hollow markers: the LR is at the edge of those tested.",
        draw=draw_batch,
        frame=chosen_frame(observations),
    )
    batches = observations.strata.dropna(subset="point_id")["global_batch"].nunique()
    return Section(
        kind="batch",
        title="Accuracy and batch",
        verdict=verdicts.batch_verdict(observations),
        drawing=drawing if batches > 1 else None,
    )


def epochs_section(observations: Observations) -> Section:
    """Accuracy against epochs at the chosen LR, where epochs vary (the paper's Table 5)."""
    lines = epochs_strata(observations)
    frame = chosen_frame(observations)
    drawing = Drawing(
        name="accuracy-vs-epochs",
        alt="Accuracy on test against training epochs at the chosen learning rate, one line per "
        "global batch.",
        caption="Dots are single seeds, markers their mean; lines only join them. Marks of one "
        "number of epochs stand slightly apart. Hollow markers: the LR is at the edge of those "
        "tested.",
        draw=draw_epochs,
        frame=frame[frame["stratum"].isin(lines["stratum"])],
    )
    return Section(
        kind="epochs",
        title="Accuracy and epochs",
        verdict=verdicts.epochs_verdict(observations),
        drawing=None if lines.empty else drawing,
    )


def curves_section(observations: Observations) -> Section:
    """Train loss and accuracy over training at the chosen LR."""
    drawing = Drawing(
        name="training-curves",
        alt="Train loss and accuracy against epochs done at the chosen learning rate, one colour "
        "per global batch.",
        caption="Thin lines are single seeds, thick ones their mean. Train loss is measured in "
        "evaluation mode on a fixed training subset.",
        draw=draw_curves,
        frame=curves_frame(observations),
    )
    return Section(
        kind="curves",
        title="Training curves",
        verdict=verdicts.curves_verdict(observations),
        drawing=None if observations.curves.empty else drawing,
    )


SECTIONS: Mapping[str, Callable[[Observations], Section]] = {
    "lr": lr_section,
    "batch": batch_section,
    "epochs": epochs_section,
    "curves": curves_section,
    "outcomes": outcomes_section,
}
"""All sections in the order of the page, by kind."""
