"""Everything that some outcomes allow to be fitted, in one typed value."""

from __future__ import annotations

from lars_sweep.fit.analysis.analyse import Analysis, analyse
from lars_sweep.fit.analysis.chosen import Chosen
from lars_sweep.fit.analysis.curves_in_steps import (
    BatchFinding,
    Contrast,
    CriticalFinding,
    EpochsAt,
    EpochsFinding,
    LossAt,
    StepsFinding,
    Target,
)
from lars_sweep.fit.analysis.entries import Entry, Key, Missing, Refused, Scalar, TooLittle
from lars_sweep.fit.analysis.learning_rates import EffectiveLr, LrFinding
from lars_sweep.fit.analysis.losses import GapFinding, MatchedGap
from lars_sweep.fit.analysis.norms import LayersFinding
from lars_sweep.fit.analysis.options import KINDS, FitOptions
from lars_sweep.fit.analysis.scaling import LrScalingFinding

__all__ = [
    "KINDS",
    "Analysis",
    "BatchFinding",
    "Chosen",
    "Contrast",
    "CriticalFinding",
    "EffectiveLr",
    "Entry",
    "EpochsAt",
    "EpochsFinding",
    "FitOptions",
    "GapFinding",
    "Key",
    "LayersFinding",
    "LossAt",
    "LrFinding",
    "LrScalingFinding",
    "MatchedGap",
    "Missing",
    "Refused",
    "Scalar",
    "StepsFinding",
    "Target",
    "TooLittle",
    "analyse",
]
