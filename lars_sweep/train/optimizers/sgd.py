"""SGD with momentum, with the learning rate inside the momentum or outside."""

from __future__ import annotations

from torch import Tensor
from torch.optim.optimizer import ParamsT

from lars_sweep.train.optimizers.checks import check_options
from lars_sweep.train.optimizers.momentum import Group, MomentumForm, MomentumOptimizer


class SGD(MomentumOptimizer):
    """Momentum SGD in Caffe's form: v ← m·v + γ(g + βw), w ← w − v.

    ``momentum_form="outside"`` gives PyTorch's: v ← m·v + g + βw, w ← w − γv.

    Args:
        params: parameters, named parameters or parameter groups.
        lr: γ; a 0-dim tensor for ``torch.compile``.
        momentum: m.
        weight_decay: β, added to the gradient.
        momentum_form: where the learning rate enters.
        nesterov: w ← w − (m·v + γ(g + βw)).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        momentum_form: MomentumForm = "inside",
        nesterov: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "momentum_form": momentum_form,
            "nesterov": nesterov,
            "excluded": False,
        }
        check_options("SGD", options)
        super().__init__(params, options)

    def _step_group(self, group: Group, params: list[Tensor]) -> None:
        rate = group["lr"] if group["momentum_form"] == "inside" else 1.0
        self._move(group, params, [rate] * len(params))
