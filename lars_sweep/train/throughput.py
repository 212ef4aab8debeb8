"""How fast a trial trains, how long it waits, how much memory it takes."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass

import torch

from lars_sweep.train.world import World

_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Training since the last evaluation."""

    images_per_s: float
    """Over all ranks."""
    data_wait: float
    """Share of the time, on this rank."""


class Throughput:
    """A stopwatch that runs while the trial trains, not while it is evaluated."""

    def __init__(self, step: int, wait_s: float) -> None:
        self.resume(step, wait_s)

    def resume(self, step: int, wait_s: float) -> None:
        """Training goes on after an evaluation (or starts)."""
        self._step, self._wait_s, self._begin = step, wait_s, time.perf_counter()

    def pace(self, step: int, wait_s: float, global_batch: int) -> Pace:
        """What was reached since `resume`; the device must be idle."""
        seconds = max(time.perf_counter() - self._begin, 1e-9)
        return Pace(
            images_per_s=(step - self._step) * global_batch / seconds,
            data_wait=min(1.0, (wait_s - self._wait_s) / seconds),
        )


def peak_memory_gib(device: torch.device, world: World) -> float:
    """Peak memory of the fullest rank: allocated on a CUDA device, else resident."""
    if device.type == "cuda":
        peak = float(torch.cuda.max_memory_allocated(device))
    else:
        # Linux counts in KiB; the peak is that of the process, over all its trials.
        peak = 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(world.max(torch.tensor(peak / _GIB, dtype=torch.float64)))
