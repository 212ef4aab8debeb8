"""The paper's networks, full size and in small."""

from __future__ import annotations

from lars_sweep.train.models.loss import training_loss
from lars_sweep.train.models.registry import NETWORKS, build_model, default_image_size

__all__ = ["NETWORKS", "build_model", "default_image_size", "training_loss"]
