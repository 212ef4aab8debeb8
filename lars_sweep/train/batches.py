"""The micro-batches of one rank, ready for the forward pass, and the time spent waiting."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.augment import Preparation
from lars_sweep.train.feed import DeviceSource, ahead
from lars_sweep.train.stream import MicroBatch, Stream, micro_batches
from lars_sweep.train.world import World

_Fetched = tuple[MicroBatch, Tensor, Tensor]


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
            plan = self._plan(step)
            resident = self._source.resident
            self._fetched = map(self._fetch, plan) if resident else ahead(plan, self._fetch)
        self._next_step = -1  # until this step is complete
        for _ in micro_batches(self._trial, step, self._world, most_samples):
            begin = time.perf_counter()
            fetched = next(self._fetched)
            self.wait_s += time.perf_counter() - begin
            yield self._prepare(*fetched)
        self._next_step = step + 1

    def close(self) -> None:
        """End the fetching thread, if there is one."""
        if isinstance(self._fetched, Generator):
            self._fetched.close()

    def _plan(self, start: int) -> Iterator[MicroBatch]:
        for step in range(start, self._trial.steps):
            yield from micro_batches(self._trial, step, self._world, self._most_samples)

    def _fetch(self, item: MicroBatch) -> _Fetched:
        positions = self._stream.positions(item.first_sample, item.stop_sample)
        return item, *self._preparation.fetch(self._source, self._part[positions], item)

    def _prepare(self, item: MicroBatch, images: Tensor, labels: Tensor) -> LoadedBatch:
        images = self._preparation.for_training(item, self._source, images)
        return LoadedBatch(item, images, labels)
