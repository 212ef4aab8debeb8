"""Whether the ranks of a job reach each other, and how fast."""

from __future__ import annotations

import time

import torch

from lars_sweep.train.world import World

_MIB = 64


def all_reduce() -> dict[str, object]:
    """Join the world and sum a buffer over it, on the GPUs if there are any.

    Returns:
        ranks, GPUs of this node, whether the sum is right, and MiB/s of one all-reduce.
    """
    cuda = torch.cuda.is_available()
    world = World.join(cuda=cuda)
    device = torch.device("cpu")
    if cuda:
        device = torch.device("cuda", world.local_rank % torch.cuda.device_count())
    buffer = torch.full((_MIB * 2**18,), float(world.rank + 1), device=device)
    world.sum(buffer[:1024])
    began = time.perf_counter()
    world.sum(buffer[1024:])
    if cuda:
        torch.cuda.synchronize(device)
    wall_s = time.perf_counter() - began
    expected = world.size * (world.size + 1) / 2
    return {
        "ranks": world.size,
        "gpus": torch.cuda.device_count() if cuda else 0,
        "right": bool((buffer == expected).all()),
        "mib_per_s": _MIB / wall_s,
    }
