"""The canvas of a figure that has one panel for each panel of findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from lars_sweep.report.canvas import Canvas, make_canvas
from lars_sweep.report.evidence import Evidence, Panel
from lars_sweep.report.labels import figure_footer

WIDE_LABELS = 0.82
"""Inches left of a panel whose y axis has numbers of five digits."""


def lines_of(frame: pd.DataFrame, row: str, batch: str) -> dict[int, list[int]]:
    """Row of panels → its batches, ascending: the lines of their strips."""
    return {
        int(str(key)): sorted(int(b) for b in mine[batch].unique())
        for key, mine in frame.groupby(row)
    }


def panel_grid(
    evidence: Evidence,
    shown: Sequence[Panel[Any]],
    *,
    legend: Sequence[Line2D | Patch],
    strip_rows: int = 0,
    left: float = 0.66,
) -> Canvas:
    """Slots by panel number, the panels' titles, the footer; arguments as `canvas.make_canvas`."""
    return make_canvas(
        [panel.slot for panel in shown],
        {panel.number: panel.title for panel in shown},
        legend=legend,
        footer=figure_footer(evidence.observations, evidence.fixture),
        strip_rows=strip_rows,
        left=left,
    )
