"""Everything that some outcomes allow to be fitted, in one typed value."""

from __future__ import annotations

from lars_sweep.fit.analysis.analyse import Analysis, analyse, chosen_trials
from lars_sweep.fit.analysis.chosen import Chosen
from lars_sweep.fit.analysis.contrasts import Contrast
from lars_sweep.fit.analysis.critical import CriticalFinding
from lars_sweep.fit.analysis.curves_in_steps import (
    BatchFinding,
    EpochsAt,
    EpochsFinding,
    LossAt,
    StepsFinding,
    Target,
)
from lars_sweep.fit.analysis.entries import Entry, Key, Missing, Refused, Scalar, TooLittle
from lars_sweep.fit.analysis.learning_rates import EffectiveLr, LrFinding, effective_lrs
from lars_sweep.fit.analysis.losses import GapFinding, MatchedGap
from lars_sweep.fit.analysis.noise import NoiseAt, NoiseFinding
from lars_sweep.fit.analysis.norms import LayersFinding
from lars_sweep.fit.analysis.of_group import Mapper
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
    "Mapper",
    "MatchedGap",
    "Missing",
    "NoiseAt",
    "NoiseFinding",
    "Refused",
    "Scalar",
    "StepsFinding",
    "Target",
    "TooLittle",
    "analyse",
    "chosen_trials",
    "effective_lrs",
]
