"""SGD and LARS for any training loop, and the optimizer that a trial names."""

from __future__ import annotations

from lars_sweep.train.optimizers.build import build_optimizer, set_lr
from lars_sweep.train.optimizers.lars import LARS
from lars_sweep.train.optimizers.sgd import SGD

__all__ = ["LARS", "SGD", "build_optimizer", "set_lr"]
