"""Which learning rates are good at each batch."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lars_sweep.fit.analysis.learning_rates import LrFinding
from lars_sweep.nouns import count
from lars_sweep.report.evidence import MOST_PANELS, Evidence, Panel, panels
from lars_sweep.report.kinds.lr_interval_figure import draw_lr, lr_frame
from lars_sweep.report.kinds.lr_measures import measures_table
from lars_sweep.report.kinds.lr_tables import good_lrs_table, verdicts_table
from lars_sweep.report.kinds.lr_words import delta_of, lr_verdict, lrs_tried
from lars_sweep.report.labels import chosen_on
from lars_sweep.report.sections import Drawing, Section

TABLES = (good_lrs_table, measures_table, verdicts_table)


def lr_interval_section(evidence: Evidence) -> Section:
    """The good LRs of every batch (the paper's Figure 3)."""
    found = panels(evidence.found("lr_interval"), by_epochs=True)
    several = [panel for panel in found if any(lrs_tried(entry) > 1 for entry in panel.members)]
    shown = several[:MOST_PANELS]
    frame = lr_frame(evidence, shown)
    drawing = Drawing(
        name="accuracy-vs-lr",
        alt=f"Accuracy {chosen_on(evidence.observations)} against base learning rate, one "
        "colour per global batch and one panel per optimizer; bars below show the good LRs, "
        "crosses the diverged ones.",
        caption=_caption(evidence, several, frame),
        draw=lambda: draw_lr(evidence, shown, frame),
        frame=frame.drop(columns=["panel", "row"]),
    )
    return Section(
        kind="lr-interval",
        title="Good learning rates",
        verdict=lr_verdict(evidence, found),
        drawings=() if frame.empty else (drawing,),
        tables=tuple(table(found) for table in TABLES) if found else (),
    )


def _caption(evidence: Evidence, found: Sequence[Panel[LrFinding]], frame: pd.DataFrame) -> str:
    delta = delta_of(evidence)
    parts = [
        "Dots are single seeds, markers the mean of the ok seeds with the 95 % interval from the "
        "seeds' pooled spread.",
    ]
    if (frame["what"] == "fit").any():
        parts.append(
            "Line: fitted flat top, thick over the LRs that lose at most "
            f"{count(delta, 'point')} against its plateau, whose 95 % interval is shaded; LRs far "
            "below it count little. A batch without a fit has its means joined by a thin line."
        )
    if (frame["what"] == "not excluded").any():
        parts.append(
            "Bars below, a line per batch: dark where an LR is good, 97.5 % sure at each end; "
            "light where it is not excluded; an arrow head where the tested LRs do not bracket "
            "the edge."
        )
    if (frame["what"] == "diverged").any():
        parts.append(
            "Red crosses: LRs at which seeds diverged; thin where k of r did, with k/r where there "
            "is room for it."
        )
    if len(found) > MOST_PANELS:
        parts.append(f"The first {MOST_PANELS} of {len(found)} panels; the tables hold all.")
    return " ".join(parts)
