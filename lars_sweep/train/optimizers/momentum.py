"""What SGD and LARS share: one momentum step with a rate per parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from lars_sweep.train.optimizers import host

MomentumForm = Literal["inside", "outside"]
Group = dict[str, Any]
"""A ``param_group`` of a torch optimizer."""


class MomentumOptimizer(Optimizer):
    """Base of `SGD` and `LARS`: v ← m·v + a·(g + βw), w ← w − b·v with a rate ``a`` per parameter.

    ``momentum_form="inside"`` puts the learning rate into ``a``, as Caffe and the paper do;
    ``"outside"`` into ``b``, as PyTorch does. They are equal only while the LR is constant.
    """

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of all parameters that have a gradient; gradients are left as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, params in self._prepare():
            self._step_group(group, params)
        return loss

    def _prepare(self) -> list[tuple[Group, list[Tensor]]]:
        """Groups with their parameters that have a gradient; buffers made where missing."""
        prepared = []
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            for p in params:
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            if params:
                prepared.append((group, params))
        return prepared

    def _step_group(self, group: Group, params: list[Tensor]) -> None:
        raise NotImplementedError

    def _move(
        self,
        group: Group,
        params: list[Tensor],
        rates: Sequence[float | Tensor],
        *,
        norms: bool = False,
    ) -> Tensor | None:
        """Apply the step with rates ``a`` that already hold everything that belongs inside.

        Args:
            group: its options.
            params: of the group, each with a gradient and a buffer.
            rates: ``a`` of each.
            norms: whether ‖w‖ is of use; the step then takes a little longer.

        Returns:
            ‖w‖ of the new weights, (L,), where it falls out on the way.
        """
        grads = [cast(Tensor, p.grad) for p in params]
        buffers = [self.state[p]["momentum_buffer"] for p in params]
        outer = 1.0 if group["momentum_form"] == "inside" else group["lr"]
        options = {"momentum": group["momentum"], "weight_decay": group["weight_decay"]}
        if _fusable(group, rates, params, grads, buffers):
            step = host.step if norms and host.takes(params) else _fused_step
            return step(params, grads, buffers, cast(Sequence[float], rates), outer, **options)
        nesterov = group["nesterov"]
        _foreach_step(params, grads, buffers, rates, outer, nesterov=nesterov, **options)
        return None


def _fusable(
    group: Group,
    rates: Sequence[float | Tensor],
    params: list[Tensor],
    grads: list[Tensor],
    buffers: list[Tensor],
) -> bool:
    # The kernel's 1 − dampening is exact enough in float32 only: it loses 1e-12 in float64 and
    # rounds the rate itself in half precision. Its Nesterov form knows no rate inside.
    if group["nesterov"] or any(isinstance(rate, Tensor) for rate in (*rates, group["lr"])):
        return False
    # Without momentum it wants no buffers at all.
    if group["momentum"] == 0:
        return False
    # It walks raw memory: all three must lie in one order. A loaded buffer may be of another kind.
    return all(
        p.dtype == g.dtype == v.dtype == torch.float32
        and p.device == g.device == v.device
        and p.shape == g.shape == v.shape
        and p.stride() == g.stride() == v.stride()
        for p, g, v in zip(params, grads, buffers, strict=True)
    )


def _fused_step(
    params: list[Tensor],
    grads: list[Tensor],
    buffers: list[Tensor],
    rates: Sequence[float],
    outer: float,
    *,
    momentum: float,
    weight_decay: float,
) -> None:
    """The step in one pass over memory: torch's fused SGD with dampening 1 − a is just that."""
    by_rate: dict[float, list[int]] = {}
    for index, rate in enumerate(rates):
        by_rate.setdefault(rate, []).append(index)
    for rate, indices in by_rate.items():
        torch._fused_sgd_(
            [params[i] for i in indices],
            [grads[i] for i in indices],
            [buffers[i] for i in indices],
            weight_decay=weight_decay,
            momentum=momentum,
            lr=outer,
            dampening=1 - rate,
            nesterov=False,
            maximize=False,
            # The first step would copy the gradient without its rate; the buffers start at zero.
            is_first_step=False,
        )


def _foreach_step(
    params: list[Tensor],
    grads: list[Tensor],
    buffers: list[Tensor],
    rates: Sequence[float | Tensor],
    outer: float | Tensor,
    *,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None:
    """The step for any dtype and device, with rates that may live on the device."""
    updates = list(torch._foreach_add(grads, params, alpha=weight_decay))
    # Takes 0-dim tensors as well as numbers.
    torch._foreach_mul_(updates, cast(list[float], list(rates)))
    torch._foreach_mul_(buffers, momentum)
    torch._foreach_add_(buffers, updates)
    if nesterov:
        torch._foreach_add_(updates, buffers, alpha=momentum)
    else:
        updates = buffers
    if isinstance(outer, Tensor):
        torch._foreach_sub_(params, torch._foreach_mul(updates, outer))
    else:
        torch._foreach_sub_(params, updates, alpha=outer)
