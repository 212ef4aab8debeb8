"""Mistakes that data-parallel training is prone to; the comparison of shapes must catch each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from lars_sweep.train.atoms import Atoms
from lars_sweep.train.batches import Batches, LoadedBatch
from lars_sweep.train.dropout import GroupDropout
from lars_sweep.train.evaluate import SampleSet
from lars_sweep.train.layers import GroupBatchNorm2d, set_atoms
from lars_sweep.train.step import GradientStep
from lars_sweep.train.world import World


@contextmanager
def batch_norm_per_micro_batch() -> Iterator[None]:
    right = GroupBatchNorm2d._normalise_groups

    def wrong(self: GroupBatchNorm2d, x: Tensor, size: int, *, calibrating: bool) -> Tensor:
        return right(self, x, size if calibrating else len(x), calibrating=calibrating)

    with patch.object(GroupBatchNorm2d, "_normalise_groups", wrong):
        yield


@contextmanager
def dropout_from_a_local_generator() -> Iterator[None]:
    def wrong(self: GroupDropout, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training)

    torch.manual_seed(0)
    with patch.object(GroupDropout, "forward", wrong):
        yield


@contextmanager
def mean_of_chunk_means() -> Iterator[None]:
    chunks: dict[int, int] = {}
    of_step = Batches.of_step

    def counted(self: Batches, step: int, most_samples: int) -> Iterator[LoadedBatch]:
        loaded = list(of_step(self, step, most_samples))
        chunks[step] = len(loaded) * self._world.size
        return iter(loaded)

    def wrong(self: GradientStep, batch: LoadedBatch) -> Tensor:
        item = batch.micro_batch
        set_atoms(
            self._group_layers, Atoms(self._trial.seed, item.step, item.first_group, item.groups)
        )
        return F.cross_entropy(self._forward(batch.images), batch.labels) / chunks[item.step]

    with patch.object(Batches, "of_step", counted), patch.object(GradientStep, "_loss", wrong):
        yield


@contextmanager
def one_sample_evaluated_twice() -> Iterator[None]:
    """In place of another, as a sampler does that pads the ranks to equal counts."""
    right = SampleSet.chunks

    def wrong(self: SampleSet, world: World, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for number, (images, labels) in enumerate(right(self, world, size)):
            if number == 0 and len(labels) < size:
                images[0], labels[0] = images[1].clone(), labels[1].clone()
            yield images, labels

    with patch.object(SampleSet, "chunks", wrong):
        yield


FAULTS: dict[str, Callable[[], object]] = {
    fault.__name__: fault
    for fault in (
        batch_norm_per_micro_batch,
        dropout_from_a_local_generator,
        mean_of_chunk_means,
        one_sample_evaluated_twice,
    )
}
