"""How much disk a sweep takes at its fullest, for `lars-sweep plan`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from lars_sweep.data import DataInfo
from lars_sweep.outcomes.seal import SEAL_EVERY
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.check import built

# Measured on finished digits trials: JSON while loose, Parquet once sealed.
_EVALUATION_BYTES, _LAYER_BYTES, _TRIAL_BYTES = 430, 200, 2_500
_SEALED_SHARE = 0.25
_CHECKPOINTS = 3
"""Two are kept while the next one is written."""


def peak_disk_bytes(trials: Iterable[TrialSpec], info: DataInfo, *, workers: int) -> int:
    """Outcomes of all trials, sealed, plus what the workers hold before that.

    Args:
        trials: every trial of the plan.
        info: the data set, for the shape of the networks.
        workers: how many run at a time.
    """
    sealed = loose = checkpoint = 0
    count = 0
    for trial in trials:
        tensors, parameters = _size(trial.model, trial.init, info)
        norms = tensors * _LAYER_BYTES
        size = _TRIAL_BYTES + len(trial.evaluation_steps) * (_EVALUATION_BYTES + norms)
        sealed += round(size * _SEALED_SHARE)
        loose = max(loose, size)
        # Weights and momentum in float32, and the measurements so far.
        checkpoint = max(checkpoint, 8 * parameters + size)
        count += 1
    unsealed = min(count, workers * 2 * SEAL_EVERY)  # before a worker's first sealing
    return sealed + unsealed * loose + workers * _CHECKPOINTS * checkpoint


@cache
def _size(model: str, init: str, info: DataInfo) -> tuple[int, int]:
    """Parameter tensors and parameters of a network; nothing is allocated for them."""
    network = built(model, init, info)
    shapes = [parameter.numel() for parameter in network.parameters()]
    return len(shapes), sum(shapes)
