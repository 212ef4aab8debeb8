"""Layer-wise Adaptive Rate Scaling (You, Gitman and Ginsburg 2017, Algorithm 1).

Legend: L parameters ("layers": Caffe's blobs, weight and bias apart); w weight, g gradient,
v momentum buffer, γ learning rate, η trust coefficient, β weight decay, λ local learning rate.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from lars_sweep.train.optimizers.checks import check_options
from lars_sweep.train.optimizers.kept import KeptNorms
from lars_sweep.train.optimizers.momentum import Group, MomentumForm, MomentumOptimizer
from lars_sweep.train.optimizers.norms import norms

Variant = Literal["paper", "no_decay_in_norm", "clip"]
Granularity = Literal["layer", "network", "frozen"]
ZeroNorm = Literal["one", "zero"]


class LARS(MomentumOptimizer):
    """SGD with momentum whose every layer has its own learning rate γλ.

        λ = η‖w‖ / (‖g‖ + β‖w‖),  v ← m·v + γλ(g + βw),  w ← w − v

    ``‖g‖`` is the norm of the gradient as it stands in ``.grad``: average it over the whole batch
    and unscale it before. Groups with ``excluded=True`` take plain momentum steps (λ = 1). On the
    CPU a step of a large float32 set leaves ‖w‖ for the next (`KeptNorms` says when it holds).

    Args:
        params: parameters, named parameters or parameter groups.
        lr: γ; a 0-dim tensor for ``torch.compile``.
        momentum: m.
        weight_decay: β.
        trust_coefficient: η.
        variant: ``paper``; ``no_decay_in_norm``: λ = η‖w‖/‖g‖; ``clip``: NVCaffe since December
            2017, the rate is min(γ, η‖w‖/‖g‖) in place of γλ.
        granularity: what shares a λ: each ``layer``; the whole ``network`` (the norms are those of
            all its parameters together); ``frozen``: each layer, but λ stays what it was in the
            first step.
        zero_norm: λ of a layer whose ‖w‖ or ‖g‖ is 0: ``one`` as in Caffe, or ``zero``.
        momentum_form: ``inside`` as above; ``outside``: v ← m·v + λ(g + βw), w ← w − γv.
        nesterov: w ← w − (m·v + γλ(g + βw)).

    Raises:
        TrainError: an argument is out of range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        momentum: float = 0.9,
        weight_decay: float = 0.0005,
        trust_coefficient: float = 0.001,
        *,
        variant: Variant = "paper",
        granularity: Granularity = "layer",
        zero_norm: ZeroNorm = "one",
        momentum_form: MomentumForm = "inside",
        nesterov: bool = False,
    ) -> None:
        options = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "variant": variant,
            "granularity": granularity,
            "zero_norm": zero_norm,
            "momentum_form": momentum_form,
            "nesterov": nesterov,
            "excluded": False,
            "zero_norm_events": 0,
        }
        check_options("LARS", options)
        self._kept = KeptNorms()
        super().__init__(params, options)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """After unpickling and `load_state_dict` no norm is kept."""
        super().__setstate__(state)
        self._kept = KeptNorms()

    @property
    def zero_norm_events(self) -> int:
        """Layer-steps so far at which a weight or gradient norm was 0 (waits for the device)."""
        return sum(int(group["zero_norm_events"]) for group in self.param_groups)

    def local_rates(self) -> dict[Tensor, Tensor]:
        """λ of the last step, 0-dim, of every parameter that has one."""
        return {p: s["local_rate"] for p, s in self.state.items() if "local_rate" in s}

    def _step_group(self, group: Group, params: list[Tensor]) -> None:
        if group["excluded"]:
            rate = group["lr"] if group["momentum_form"] == "inside" else 1.0
            self._move(group, params, [rate] * len(params))
            return
        local = self._local_rates_L(group, params)
        for p, rate in zip(params, local, strict=True):
            self.state[p]["local_rate"] = rate
        of_use = group["granularity"] != "frozen"
        norms_L = self._move(group, params, _rates(group, local), norms=of_use)
        if norms_L is not None:
            self._kept.keep(params, norms_L)

    def _local_rates_L(self, group: Group, params: list[Tensor]) -> Tensor:
        if group["granularity"] == "frozen" and "local_rate" in self.state[params[0]]:
            return torch.stack([self.state[p]["local_rate"] for p in params])
        grads = [p.grad for p in params if p.grad is not None]
        w_L = None if torch.compiler.is_compiling() else self._kept.of(params)
        if w_L is None:
            w_L, g_L = norms([*params, *grads]).chunk(2)
        else:
            g_L = norms(grads)
        if group["granularity"] == "network":
            w_L, g_L = (torch.linalg.vector_norm(x).expand(len(params)) for x in (w_L, g_L))
        zero_L = (w_L == 0) | (g_L == 0)
        group["zero_norm_events"] = group["zero_norm_events"] + zero_L.sum()
        beta = group["weight_decay"] if group["variant"] == "paper" else 0.0
        ratio_L = group["trust_coefficient"] * (w_L / (g_L + beta * w_L))
        return torch.where(zero_L, 1.0 if group["zero_norm"] == "one" else 0.0, ratio_L)


def _rates(group: Group, local_L: Tensor) -> list[float] | list[Tensor]:
    """The rates that enter the momentum buffer, on the host where that costs nothing."""
    lr, inside, clip = group["lr"], group["momentum_form"] == "inside", group["variant"] == "clip"
    on_host = local_L.device.type == "cpu" and not isinstance(lr, Tensor)
    # float64 on the host: γ is a Python number there and should not be rounded to float32.
    local_L = local_L.double() if on_host else local_L
    if clip:
        rates_L = local_L.clamp(max=lr) / (1.0 if inside else lr)
    else:
        rates_L = local_L * lr if inside else local_L
    return rates_L.tolist() if on_host else list(rates_L.unbind())
