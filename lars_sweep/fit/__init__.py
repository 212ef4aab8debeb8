"""Fits: what the outcomes say, as typed values whose intervals are tested for coverage.

Names are loaded on first use: scipy is not needed to parse a sweep file.
"""

from __future__ import annotations

from lars_sweep.lazy import lazy_names

_HOMES = {
    "Answer": "answers",
    "Interval": "answers",
    "Kind": "answers",
    "to_jsonable": "answers",
    "BestLr": "best_lr",
    "LrScaling": "best_lr",
    "best_lrs": "best_lr",
    "lr_at": "predict",
    "lr_scaling": "best_lr",
    "Collapse": "same_steps",
    "collapse": "same_steps",
    "CriticalBatch": "critical_batch",
    "StepsToTarget": "critical_batch",
    "fit_critical_batch": "critical_batch",
    "speed_up": "critical_batch",
    "wall_clock": "critical_batch",
    "final_gaps": "gap",
    "gap_at_matched_train_loss": "gap",
    "gap_bands": "gap",
    "layer_ratios": "layers",
    "predicted_edge": "layers",
    "ratio_paths": "layers",
    "BaselineInterval": "baseline",
    "against_baseline": "baseline",
    "LrInterval": "lr_interval",
    "lr_intervals": "lr_interval",
    "width_ratio": "lr_interval",
    "noise_parts": "noise_scale",
    "estimate_noise_scale": "noise_scale",
    "AssumedSurface": "surface",
    "PowerReport": "power",
    "SweepDesign": "power",
    "plan_power": "power",
    "Rows": "rows",
    "StepsFit": "steps",
    "accuracy_at": "predict",
    "batch_losing": "steps",
    "epochs_to_target": "steps",
    "steps_fit": "steps",
    "steps_to_target": "critical_batch",
}

__all__ = sorted(_HOMES)
__getattr__ = lazy_names(__name__, _HOMES)
