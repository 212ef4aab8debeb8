"""The loss that a network is trained on."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

AUXILIARY_WEIGHT = 0.3
"""Weight of each auxiliary classifier of GoogLeNet beside the main one's 1 (Szegedy et al.)."""


def training_loss(
    outputs: Tensor | tuple[Tensor, ...],
    labels: Tensor,
    *,
    reduction: Literal["sum", "mean", "none"] = "sum",
) -> Tensor:
    """Cross-entropy in nats of what a network returns in training mode.

    Args:
        outputs: logits (N, classes), or a tuple of main and auxiliary logits, whose losses are
            added with the weights 1, 0.3, 0.3.
        labels: (N,) class numbers.
        reduction: over samples; ``sum`` lets a loop divide by the global batch.
    """
    if isinstance(outputs, Tensor):
        return F.cross_entropy(outputs, labels, reduction=reduction)
    main, *auxiliary = (F.cross_entropy(o, labels, reduction=reduction) for o in outputs)
    for loss in auxiliary:
        main = main + AUXILIARY_WEIGHT * loss
    return main
