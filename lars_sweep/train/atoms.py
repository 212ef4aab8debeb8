"""The atom: a whole group of samples, whatever the machine.

The global batch of a step is cut into groups of ``bn_batch`` consecutive samples that are never
split over ranks or micro-batches. A group is normalised by its own statistics and drops units by
its own random numbers, which are a function of (seed, step, layer, sample) and of nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from lars_sweep.errors import TrainError


@dataclass(frozen=True, slots=True)
class Atoms:
    """Which whole groups of a step the next forward holds."""

    seed: int
    step: int
    first_group: int
    """Number of the first group within the step, over all ranks and micro-batches."""
    groups: int
    """Consecutive groups in this micro-batch; its samples divide evenly among them."""


def group_size(x: Tensor, groups: int) -> int:
    """Samples of each group of a micro-batch.

    Raises:
        TrainError: the groups do not divide it.
    """
    if len(x) % groups:
        raise TrainError(
            f"set_atoms announced {groups} groups, which do not divide {len(x)} samples"
        )
    return len(x) // groups
