"""Peak memory of one process that trains each network, by micro-batch.

    python analysis/benchmarks/peak_memory.py [--quick]

Every number is a process of its own that takes two LARS steps on generated images: on the CPU the
largest resident size, of which importing torch is stated; on CUDA what was allocated at most.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import Any

import torch
from measuring import Limit, arguments, begin, finish, surroundings

from lars_sweep.train import LARS, build_model
from lars_sweep.train.models import NETWORKS, training_loss

FULL = ("alexnet", "alexnet_bn", "googlenet_aux", "resnet50")
SMALL = ("small_alexnet", "small_alexnet_bn", "small_googlenet", "small_resnet")
MIB = 2**20


def one(model: str, samples: int, threads: int) -> None:
    """In a process of its own: two steps, then its peak on stdout."""
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    imported = resident_mib()
    if samples:
        classes = 10 if model in SMALL else 1000
        network = build_model(model, classes, seed=1)
        network.to(device, memory_format=torch.channels_last)
        optimizer = LARS(network.parameters(), 0.01)
        side = NETWORKS[model].image_sizes[0]
        images = torch.randn(samples, 3, side, side, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.arange(samples, device=device) % classes
        for _ in range(2):
            optimizer.zero_grad(set_to_none=True)
            training_loss(network(images), labels, reduction="mean").backward()
            optimizer.step()
    cuda = device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() / MIB if cuda else resident_mib()
    print(json.dumps({"peak_mib": round(peak), "torch_alone_mib": round(imported)}))


def resident_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(model: str, samples: int, threads: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", model, str(samples), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {"failed": done.stderr.strip().splitlines()[-1:] or ["killed: out of memory?"]}
    return json.loads(done.stdout)


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        return one(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    options = arguments(__doc__, seconds=0).parse_args()
    device = begin(options)
    full = (8, 32) if device.type == "cpu" else (32, 256)
    todo = [(model, n) for model in SMALL for n in (128, 1024)]
    todo += [(model, n) for model in FULL for n in full]
    if options.quick:
        todo = todo[:1]
    result: dict[str, Any] = surroundings(device) | {"models": {}}
    for model, samples in todo:
        rows = result["models"].setdefault(model, {})
        rows[f"micro-batch {samples}"] = measure(model, samples, options.threads)
    for model in result["models"]:
        parameters = sum(p.numel() for p in build_model(model).parameters())
        result["models"][model]["weights_gradients_momentum_mib"] = round(12 * parameters / MIB)
    rows = [row for model in result["models"].values() for row in model.values()]
    failed = sum(isinstance(row, dict) and "failed" in row for row in rows)
    finish(options, __file__, result, [Limit("processes that failed", failed, at_most=0)])


if __name__ == "__main__":
    main()
