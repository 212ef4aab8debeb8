"""Norms of every parameter tensor around one step (Table 2, Figure 2, PROTOCOL.md 20)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lars_sweep.spec.trainer import LayerNorms
from lars_sweep.train.optimizers import LARS
from lars_sweep.train.optimizers.momentum import MomentumOptimizer
from lars_sweep.train.optimizers.norms import norms


class LayerMeter:
    """Measures one optimizer step from before and after.

    The norms of a row belong together: weight and gradient are those that the local rate was
    computed from, v is what they led to.
    """

    @torch.no_grad()
    def __init__(self, model: nn.Module, gradients: list[Tensor], optimizer: Optimizer) -> None:
        """Before the step, with the gradient of every parameter of the model."""
        self._optimizer = optimizer
        self._named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        parameters = [parameter for _, parameter in self._named]
        self._weights = norms(parameters)
        self._gradients = norms(gradients)
        keeps_v = isinstance(optimizer, MomentumOptimizer)
        self._before = None if keeps_v else [parameter.clone() for parameter in parameters]

    @torch.no_grad()
    def measure(self, step: int) -> list[LayerNorms]:
        """After the step: one row per parameter tensor."""
        optimizer = self._optimizer
        local = optimizer.local_rates() if isinstance(optimizer, LARS) else {}
        groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
        columns = [column.tolist() for column in (self._weights, self._gradients, self._updates())]
        rows = []
        for (name, parameter), weight, gradient, update in zip(self._named, *columns, strict=True):
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

    def _updates(self) -> Tensor:
        """(L,) ‖v‖ in units of the weights.

        From the momentum where there is one: the difference of float32 weights loses the last
        digits of v, and all of them late in a decay.
        """
        if self._before is not None:
            return norms(torch._foreach_sub(self._before, [p for _, p in self._named]))
        rates = {
            id(p): 1.0 if group["momentum_form"] == "inside" else float(group["lr"])
            for group in self._optimizer.param_groups
            for p in group["params"]
        }
        state = self._optimizer.state
        lengths = norms([state[p].get("momentum_buffer", p.new_zeros(1)) for _, p in self._named])
        return lengths * lengths.new_tensor([rates[id(p)] for _, p in self._named])


def _effective(lr: float, local_lr: float | None, variant: str | None) -> float:
    if local_lr is None:
        return lr
    return min(lr, local_lr) if variant == "clip" else lr * local_lr
