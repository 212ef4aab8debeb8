"""The micro-batches of one rank, ready for the forward pass, and the time spent waiting."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.augment import Preparation
from lars_sweep.train.feed import DeviceSource, ahead
from lars_sweep.train.stream import MicroBatch, Stream, micro_batches
from lars_sweep.train.world import World

_Block = tuple[MicroBatch, ...]
"""What is prepared in one go."""
_Fetched = tuple[_Block, NDArray[np.int64], Tensor, Tensor]

_BLOCK_VALUES = 2**18
"""Pixel values of a block: small images cost no more than the start of each operation on them."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedBatch:
    """A micro-batch on the device."""

    micro_batch: MicroBatch
    images: Tensor
    """(n, C, H, W), augmented and normalised."""
    labels: Tensor
    """(n,) int64."""


class Batches:
    """A trial's training samples from a given step on, as this rank sees them."""

    def __init__(
        self,
        trial: TrialSpec,
        source: DeviceSource,
        training_part: NDArray[np.int64],
        preparation: Preparation,
        world: World,
    ) -> None:
        self._trial = trial
        self._source = source
        self._part = training_part
        self._preparation = preparation
        self._world = world
        self._stream = Stream(trial.seed, trial.samples)
        self._most_samples = 0
        self._next_step = -1
        self._fetched: Iterator[_Fetched] = iter(())
        self._ready: deque[LoadedBatch] = deque()
        self.wait_s = 0.0
        """Seconds spent waiting so far."""

    def of_step(self, step: int, most_samples: int) -> Iterator[LoadedBatch]:
        """This rank's micro-batches of a step, of at most ``most_samples`` or one atom each.

        Steps asked for in order are fetched ahead where their samples do not lie on the device;
        any other step, or another ``most_samples``, starts anew.
        """
        if (step, most_samples) != (self._next_step, self._most_samples):
            self.close()
            self._most_samples = most_samples
            self._ready.clear()
            blocks, resident = self._blocks(step), self._source.resident
            self._fetched = map(self._fetch, blocks) if resident else ahead(blocks, self._fetch)
        self._next_step = -1  # until this step is complete
        for _ in micro_batches(self._trial, step, self._world, most_samples):
            if not self._ready:
                begin = time.perf_counter()
                fetched = next(self._fetched)
                self.wait_s += time.perf_counter() - begin
                self._ready.extend(self._prepare(*fetched))
            yield self._ready.popleft()
        self._next_step = step + 1

    def close(self) -> None:
        """End the fetching thread, if there is one."""
        if isinstance(self._fetched, Generator):
            self._fetched.close()

    def _blocks(self, start: int) -> Iterator[_Block]:
        plan, size = self._plan(start), 1
        if self._source.resident:
            samples = min(self._most_samples, self._trial.global_batch)
            size = max(1, _BLOCK_VALUES // (samples * self._source.image_bytes))
        while block := tuple(islice(plan, size)):
            yield block

    def _plan(self, start: int) -> Iterator[MicroBatch]:
        for step in range(start, self._trial.steps):
            yield from micro_batches(self._trial, step, self._world, self._most_samples)

    def _fetch(self, block: _Block) -> _Fetched:
        spans = [(item.first_sample, item.stop_sample) for item in block]
        samples = np.concatenate([np.arange(*span) for span in spans])
        indices = self._part[np.concatenate([self._stream.positions(*span) for span in spans])]
        return block, samples, *self._preparation.fetch(self._source, indices, samples)

    def _prepare(
        self, block: _Block, samples: NDArray[np.int64], images: Tensor, labels: Tensor
    ) -> Iterator[LoadedBatch]:
        images = self._preparation.for_training(samples, self._source, images)
        sizes = [item.stop_sample - item.first_sample for item in block]
        return map(
            LoadedBatch, block, images.split_with_sizes(sizes), labels.split_with_sizes(sizes)
        )
