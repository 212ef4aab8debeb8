"""What was run and how it ended; the curves of training."""

from __future__ import annotations

from lars_sweep.report import tables, verdicts
from lars_sweep.report.curves_figure import curves_frame, draw_curves
from lars_sweep.report.evidence import Evidence
from lars_sweep.report.sections import Drawing, Section


def outcomes_section(evidence: Evidence) -> Section:
    """How many trials ended how."""
    observations = evidence.observations
    return Section(
        kind="outcomes",
        title="Outcomes",
        verdict=verdicts.outcomes_verdict(observations),
        tables=(tables.endings_table(observations),) if len(observations.strata) else (),
    )


def curves_section(evidence: Evidence) -> Section:
    """Train loss and accuracy over training at the chosen LR (the paper's Figures 2 and 4)."""
    observations = evidence.observations
    drawing = Drawing(
        name="training-curves",
        alt="Train loss and accuracy against epochs done at the chosen learning rate, one colour "
        "per global batch.",
        caption="Thin lines are single seeds, thick ones their mean. Train loss is measured in "
        "evaluation mode on a fixed training subset.",
        draw=lambda: draw_curves(evidence),
        frame=curves_frame(observations),
    )
    return Section(
        kind="curves",
        title="Training curves",
        verdict=verdicts.curves_verdict(observations),
        drawings=() if observations.curves.empty else (drawing,),
    )
