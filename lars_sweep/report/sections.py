"""What the page is made of: a verdict, and the figures and tables that show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from lars_sweep.report.canvas import Canvas
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
    draw: Callable[[], Canvas]
    frame: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of the page."""

    kind: str
    """Its anchor, and the word that asks for it."""
    title: str
    verdict: Verdict
    drawings: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
