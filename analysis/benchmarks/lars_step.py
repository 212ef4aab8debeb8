"""One optimizer step on the parameters of AlexNet, ResNet-50 and a small CNN.

    python analysis/benchmarks/lars_step.py [--seconds 200] [--compiled] [--quick]

Every round runs every variant once, in an order that changes from round to round, on weights of its
own and the same gradients; a ratio is to `torch.optim.SGD(fused=True)` of the same run. By bytes
LARS needs 28 per parameter and step where fused SGD needs 20: 1.4 times as many; 1.2 where the step
before left the weight norm, as ours does on large sets. Needs pytorch_optimizer and, for optax,
jax; ``--compiled`` adds LARS under ``torch.compile`` (minutes to start).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from measuring import (
    Limit,
    Step,
    arguments,
    begin,
    compared,
    finish,
    interleaved,
    surroundings,
)
from torch import Tensor

from lars_sweep.train import LARS, SGD, build_model

REFERENCE = "torch SGD fused"
SETS = {"alexnet": "alexnet", "resnet50": "resnet50", "small": "small_alexnet_bn"}
LR, MOMENTUM, DECAY = 1e-6, 0.9, 5e-4
OURS, COMPILED = "lars_sweep LARS", "lars_sweep LARS compiled"
LIMITED = ("alexnet", "resnet50")


def compiled(make: Callable[[list[Tensor]], torch.optim.Optimizer]) -> Callable[..., Step]:
    return lambda params: torch.compile(make(params).step)


def library(module: str, name: str, **options: Any) -> Callable[[list[Tensor]], Step]:
    def make(params: list[Tensor]) -> Step:
        return getattr(import_module(module), name)(params, lr=LR, **options).step

    return make


def optax_under_jit(params: list[Tensor]) -> Step:
    import jax
    import optax

    optimizer = optax.lars(LR, weight_decay=DECAY, momentum=MOMENTUM)
    weights = [jax.numpy.asarray(p.detach().cpu().numpy()) for p in params]
    gradients = [jax.numpy.asarray(p.grad.cpu().numpy()) for p in params]
    live = [weights, optimizer.init(weights)]

    def update(weights: Any, state: Any, gradients: Any) -> Any:
        updates, state = optimizer.update(gradients, state, weights)
        return optax.apply_updates(weights, updates), state

    update = jax.jit(update, donate_argnums=(0, 1))

    def step() -> None:
        live[:] = jax.block_until_ready(update(*live, gradients))

    return step


VARIANTS: dict[str, Callable[[list[Tensor]], Step]] = {
    REFERENCE: library("torch.optim", "SGD", momentum=MOMENTUM, weight_decay=DECAY, fused=True),
    "torch SGD foreach": library(
        "torch.optim", "SGD", momentum=MOMENTUM, weight_decay=DECAY, foreach=True
    ),
    "lars_sweep SGD": lambda params: SGD(params, LR, MOMENTUM, DECAY).step,
    OURS: lambda params: LARS(params, LR, MOMENTUM, DECAY).step,
    COMPILED: compiled(
        lambda params: LARS(params, torch.tensor(LR, device=params[0].device), MOMENTUM, DECAY)
    ),
    "pytorch_optimizer LARS": library("pytorch_optimizer", "LARS", weight_decay=DECAY),
    "timm Lars": library("timm.optim", "Lars", momentum=MOMENTUM, weight_decay=DECAY),
    "optax.lars jit": optax_under_jit,
}


def weights_of_their_own(weights: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
    params = [w.clone().requires_grad_() for w in weights]
    for p, g in zip(params, gradients, strict=True):
        p.grad = g
    return params


def measure(name: str, device: torch.device, seconds: float, *, compile: bool) -> dict[str, Any]:
    weights = [p.detach().to(device) for p in build_model(SETS[name], seed=1).parameters()]
    generator = torch.Generator().manual_seed(1)
    gradients = [torch.randn(w.shape, generator=generator).to(device) for w in weights]
    working = [g.clone() for g in gradients]
    steps, missing = {}, {}
    for variant, make in VARIANTS.items():
        if variant == COMPILED and not compile:
            continue
        try:
            steps[variant] = make(weights_of_their_own(weights, working))
        except ImportError as error:
            missing[variant] = str(error)

    def same_gradients() -> None:
        # Some libraries overwrite them; and everyone starts from the same caches.
        torch._foreach_copy_(working, gradients)

    return {
        "parameters": sum(w.numel() for w in weights),
        "tensors": len(weights),
        "variants": compared(interleaved(steps, device, seconds, before=same_gradients), REFERENCE),
        "not_importable": missing,
    }


def main() -> None:
    parser = arguments(__doc__, seconds=200)
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--compiled", action="store_true")
    options = parser.parse_args()
    device = begin(options)
    packages = ("torch", "numpy", "jax", "optax", "pytorch_optimizer")
    result = surroundings(device, packages) | {"reference": REFERENCE, "sets": {}}
    sets = ["small"] if options.quick else options.sets
    for name in sets:
        seconds = 1 if options.quick else options.seconds / len(sets)
        result["sets"][name] = measure(name, device, seconds, compile=options.compiled)
    # The minimum: what disturbs a step from outside only ever adds to it.
    ratios = {
        name: result["sets"][name]["variants"][OURS]["wall_ratio_of_min"]
        for name in LIMITED
        if name in result["sets"]
    }
    most = 1.25 if device.type == "cuda" else 1.6
    limits = [Limit(f"{name}: {OURS}", ratio, at_most=most) for name, ratio in ratios.items()]
    finish(options, __file__, result, limits)


if __name__ == "__main__":
    main()
