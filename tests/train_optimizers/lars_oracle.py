"""Algorithm 1 of the paper in float64 NumPy, and how far an optimizer is from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

STEPS, WARMUP = 200, 20
SHAPES = [(16, 3, 5, 5), (40, 30), (30,), (5000,), (7,)]
MOMENTUM, WEIGHT_DECAY, TRUST = 0.9, 5e-4, 1e-3
Array = NDArray[np.float64]


def learning_rate(step: int) -> float:
    """Warm-up to 8, then poly(2) on the global step: what tells the momentum forms apart."""
    return 8 * step / WARMUP if step < WARMUP else 8 * (1 - step / STEPS) ** 2


def start(dtype: torch.dtype) -> list[Tensor]:
    """Parameters of a trial; the last one is zero at first, as a zero-filled bias is."""
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]
    params[-1].zero_()
    return [p.to(dtype).requires_grad_() for p in params]


def gradients(params: list[Tensor], step: int) -> Iterator[Tensor]:
    """Of a noisy quadratic, so that errors feed back; layers differ in scale by up to 1e4."""
    generator = torch.Generator().manual_seed(1000 + step)
    for number, p in enumerate(params):
        noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        yield (10.0**-number * (noise + 0.3 * p.detach().double())).to(p.dtype)


def algorithm_1(w: Array, v: Array, g: Array, lr: float) -> None:
    """One step of one layer, in place; a zero norm means λ = 1, as in Caffe."""
    w_norm, g_norm = np.sqrt(np.sum(w * w)), np.sqrt(np.sum(g * g))
    local = 1.0
    if w_norm > 0 and g_norm > 0:
        local = TRUST * w_norm / (g_norm + WEIGHT_DECAY * w_norm)
    v *= MOMENTUM
    v += lr * local * (g + WEIGHT_DECAY * w)
    w -= v


def worst_error(make: Callable[..., Optimizer], dtype: torch.dtype, **options: Any) -> float:
    """Largest relative difference of a weight tensor from Algorithm 1 after 200 steps.

    The oracle takes the gradients that the optimizer's own weights give.
    """
    params = start(dtype)
    w = [p.detach().double().numpy().copy() for p in params]
    v = [np.zeros_like(x) for x in w]
    optimizer = make(params, 0.0, MOMENTUM, WEIGHT_DECAY, TRUST, **options)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        for p, g, x, buffer in zip(params, gradients(params, step), w, v, strict=True):
            p.grad = g
            algorithm_1(x, buffer, g.double().numpy(), learning_rate(step))
        optimizer.step()
    return max(
        float(np.linalg.norm(p.detach().double().numpy() - x) / np.linalg.norm(x))
        for p, x in zip(params, w, strict=True)
    )
