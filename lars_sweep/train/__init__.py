"""One trial: the paper's networks, its optimizer, and training that no machine shape changes.

The names load torch when they are first used, not when this package is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lars_sweep.lazy import lazy_names

if TYPE_CHECKING:
    from lars_sweep.train.models import build_model
    from lars_sweep.train.optimizers import LARS, SGD
    from lars_sweep.train.trainer import TorchTrainer

__all__ = ["LARS", "SGD", "TorchTrainer", "build_model"]

_HOMES = {
    "LARS": "optimizers",
    "SGD": "optimizers",
    "TorchTrainer": "trainer",
    "build_model": "models",
}
__getattr__ = lazy_names(__name__, _HOMES)
