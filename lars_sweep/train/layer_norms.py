"""Norms of every parameter tensor around one step (Table 2, Figure 2, PROTOCOL.md 20)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lars_sweep.spec.trainer import LayerNorms
from lars_sweep.train.optimizers import LARS
from lars_sweep.train.optimizers.norms import norms


class LayerMeter:
    """Compares the weights before and after one optimizer step.

    The three norms of a row belong together: weight and gradient are those that the local rate was
    computed from, the update is what they led to.
    """

    @torch.no_grad()
    def __init__(self, model: nn.Module, gradients: list[Tensor]) -> None:
        """Before the step: copy the weights and take the norms of the (L,) gradients."""
        self._named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self._before = [parameter.clone() for _, parameter in self._named]
        self._gradient_norms = norms(gradients)

    @torch.no_grad()
    def measure(self, step: int, optimizer: Optimizer) -> list[LayerNorms]:
        """After the step: one row per parameter tensor."""
        weights = norms(self._before).tolist()
        moved = torch._foreach_sub(self._before, [parameter for _, parameter in self._named])
        updates = norms(moved).tolist()
        local = optimizer.local_rates() if isinstance(optimizer, LARS) else {}
        groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        rows = []
        for (name, parameter), weight, gradient, update in zip(
            self._named, weights, self._gradient_norms.tolist(), updates, strict=True
        ):
            group = groups[id(parameter)]
            local_lr = float(local[parameter]) if parameter in local else None
            rows.append(
                LayerNorms(
                    step=step,
                    layer=name,
                    weight_norm=weight,
                    gradient_norm=gradient,
                    local_lr=local_lr,
                    effective_lr=_effective(float(group["lr"]), local_lr, group.get("variant")),
                    update_ratio=update / weight if weight > 0 else 0.0,
                )
            )
        return rows


def _effective(lr: float, local_lr: float | None, variant: str | None) -> float:
    if local_lr is None:
        return lr
    return min(lr, local_lr) if variant == "clip" else lr * local_lr
