"""One optimizer step on the parameters of AlexNet, ResNet-50 and a small CNN.

    python analysis/benchmarks/lars_step.py [--rounds 30] [--threads 2] [--sets alexnet resnet50]

Every round runs every variant once, in an order that changes from round to round, on the same
weights and gradients; a ratio is to `torch.optim.SGD(fused=True)` of the same run. By bytes LARS
needs 28 per parameter and step where fused SGD needs 20: 1.4 times as many.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lars_sweep.train import LARS, SGD, build_model

RESULT = Path(__file__).parent / "results" / "lars_step.json"
REFERENCE = "torch SGD fused"
SETS = {"alexnet": "alexnet", "resnet50": "resnet50", "small": "small_alexnet_bn"}
LR, MOMENTUM, DECAY = 1e-6, 0.9, 5e-4
Step = Callable[[], None]


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
    "lars_sweep LARS": lambda params: LARS(params, LR, MOMENTUM, DECAY).step,
    "lars_sweep LARS compiled": compiled(
        lambda params: LARS(params, torch.tensor(LR, device=params[0].device), MOMENTUM, DECAY)
    ),
    "pytorch_optimizer LARS": library("pytorch_optimizer", "LARS", weight_decay=DECAY),
    "timm Lars": library("timm.optim", "Lars", momentum=MOMENTUM, weight_decay=DECAY),
    "optax.lars jit": optax_under_jit,
}


def parameter_set(name: str, device: torch.device) -> tuple[list[Tensor], list[Tensor]]:
    """Weights with gradients, and a copy of the gradients."""
    params = [p.detach().to(device) for p in build_model(SETS[name], seed=1).parameters()]
    generator = torch.Generator().manual_seed(1)
    gradients = [torch.randn(p.shape, generator=generator).to(device) for p in params]
    for p, g in zip(params, gradients, strict=True):
        p.requires_grad_()
        p.grad = g.clone()
    return params, gradients


def measure(name: str, device: torch.device, rounds: int) -> dict[str, Any]:
    params, gradients = parameter_set(name, device)
    steps, missing = {}, {}
    for variant, make in VARIANTS.items():
        try:
            steps[variant] = make(params)
            for _ in range(3):
                timed(steps[variant], device)
        except ImportError as error:
            missing[variant] = str(error)
    times: dict[str, list[float]] = {variant: [] for variant in steps}
    order, shuffled = list(steps), random.Random(1)
    for _ in range(rounds):
        shuffled.shuffle(order)
        for variant in order:
            # Some libraries overwrite the gradient; everyone starts from the same caches.
            torch._foreach_copy_([p.grad for p in params], gradients)
            times[variant].append(timed(steps[variant], device))
    return {
        "parameters": sum(p.numel() for p in params),
        "tensors": len(params),
        "variants": {variant: summary(t, times[REFERENCE]) for variant, t in times.items()},
        "not_importable": missing,
    }


def timed(step: Step, device: torch.device) -> float:
    """Wall-clock milliseconds of one step, the device's work included."""
    synchronise = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    synchronise()
    start = time.perf_counter()
    step()
    synchronise()
    return 1e3 * (time.perf_counter() - start)


def summary(times: list[float], reference: list[float]) -> dict[str, float]:
    median = statistics.median
    return {
        "min_ms": round(min(times), 4),
        "median_ms": round(median(times), 4),
        "ratio_of_min": round(min(times) / min(reference), 3),
        "ratio_of_median": round(median(times) / median(reference), 3),
    }


def describe(device: torch.device) -> dict[str, Any]:
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    packages = ("torch", "numpy", "jax", "optax", "pytorch_optimizer")
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average_at_start": os.getloadavg()[0],
        "versions": {package: version(package) for package in packages},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--sets", nargs="*", choices=SETS, default=list(SETS))
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    result = describe(device) | {"rounds": options.rounds, "sets": {}}
    for name in options.sets:
        result["sets"][name] = measure(name, device, options.rounds)
        for variant, row in result["sets"][name]["variants"].items():
            print(f"{name:10} {variant:26} {row}", flush=True)
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
