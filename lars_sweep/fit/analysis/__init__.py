"""Everything that some outcomes allow to be fitted, in one typed value."""

from __future__ import annotations

from lars_sweep.fit.analysis.analyse import Analysis, analyse
from lars_sweep.fit.analysis.entries import Entry, Key, Missing, Refused, TooLittle
from lars_sweep.fit.analysis.options import KINDS, FitOptions

__all__ = [
    "KINDS", "Analysis", "Entry", "FitOptions", "Key", "Missing", "Refused", "TooLittle", "analyse",
]  # fmt: skip
