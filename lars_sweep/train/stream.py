"""Which training samples a step sees, and how its atoms are dealt to ranks and micro-batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lars_sweep.data import epoch_order
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.world import World


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Whole consecutive atoms of one step: what one forward pass sees."""

    step: int
    first_group: int
    """Number of its first atom within the step."""
    groups: int
    first_sample: int
    """Number k of its first sample within the stream of the whole trial."""
    stop_sample: int


def micro_batches(
    trial: TrialSpec, step: int, world: World, most_samples: int
) -> Iterator[MicroBatch]:
    """This rank's atoms of the step, in stream order, cut into micro-batches of whole atoms.

    Ranks take consecutive atoms. A micro-batch holds at most ``most_samples`` samples but at least
    one atom, because an atom is never split.
    """
    size = trial.bn_batch
    first, stop = world.share(trial.global_batch // size)
    groups = max(1, most_samples // size)
    for group in range(first, stop, groups):
        count = min(groups, stop - group)
        sample = step * trial.global_batch + group * size
        yield MicroBatch(step, group, count, sample, sample + count * size)


class Stream:
    """Sample k of training is position k mod N of epoch permutation ⌊k/N⌋ (PROTOCOL.md 2)."""

    def __init__(self, seed: int, samples: int) -> None:
        self._seed = seed
        self._samples = samples
        self._epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def positions(self, first: int, stop: int) -> NDArray[np.int64]:
        """Positions within the training part of the stream's samples [first, stop), (n,)."""
        pieces = []
        while first < stop:
            epoch, offset = divmod(first, self._samples)
            end = min(stop, (epoch + 1) * self._samples)
            pieces.append(self._of_epoch(epoch)[offset : offset + end - first])
            first = end
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _of_epoch(self, epoch: int) -> NDArray[np.int64]:
        # One epoch is kept: micro-batches come in order, so each is computed once.
        if epoch != self._epoch:
            self._order = epoch_order(self._seed, epoch, self._samples)
            self._epoch = epoch
        return self._order
