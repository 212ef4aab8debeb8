"""One trial: the paper's networks, its optimizer, and training that no machine shape changes.

The names load torch when they are first used, not when this package is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lars_sweep.train.models import build_model
    from lars_sweep.train.optimizers import LARS, SGD
    from lars_sweep.train.trainer import TorchTrainer

__all__ = ["LARS", "SGD", "TorchTrainer", "build_model"]

_HOMES = {
    "LARS": "lars_sweep.train.optimizers",
    "SGD": "lars_sweep.train.optimizers",
    "TorchTrainer": "lars_sweep.train.trainer",
    "build_model": "lars_sweep.train.models",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
