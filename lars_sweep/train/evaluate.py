"""Exact evaluation over ranks: every sample counts once, whatever the number of processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from lars_sweep.errors import TrainError
from lars_sweep.train.augment import Preparation
from lars_sweep.train.buckets import sum_together
from lars_sweep.train.feed import DeviceSource, ahead
from lars_sweep.train.layers import calibrating
from lars_sweep.train.numerics import Numerics
from lars_sweep.train.world import World

_CHUNK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Means over one set of samples."""

    loss: float
    """Cross-entropy in nats."""
    top1: float
    """Percent."""
    top5: float
    """Percent; the label is among the five (or all, if fewer) largest logits."""
    logit_spread: float
    """Largest range of one logit over the samples, relative to the largest logit or 1."""


@dataclass(frozen=True, slots=True, eq=False)
class SampleSet:
    """A fixed set of samples of one source."""

    source: DeviceSource
    indices: NDArray[np.int64]
    """(n,) positions in the source."""

    def chunks(self, world: World, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """This rank's share of the set, cut in whole chunks: (images, labels) of each."""

        def fetch(chunk: int) -> tuple[Tensor, Tensor]:
            return self.source.batch(self.indices[chunk * size : (chunk + 1) * size])

        mine = range(*world.share(-(-len(self.indices) // size)))
        return map(fetch, mine) if self.source.resident else ahead(mine, fetch)


class Evaluator:
    """Measures a model in evaluation mode, in the trial's precision, without augmentation."""

    def __init__(
        self, numerics: Numerics, preparation: Preparation, world: World, num_classes: int
    ) -> None:
        self._numerics = numerics
        self._preparation = preparation
        self._world = world
        self._classes = num_classes
        self._failure: Exception | None = None

    @torch.no_grad()
    def score(self, model: nn.Module, samples: SampleSet) -> Score:
        """Loss and accuracies over the set, summed in float64 and counted exactly.

        Raises:
            TrainError: another rank failed. What failed on this rank is raised as it was.
        """
        model.eval()
        device = self._numerics.device
        loss_sum, top1, top5, count = (
            torch.zeros((), dtype=torch.float64, device=device) for _ in range(4)
        )
        # Largest logits and largest negated ones; a rank without samples leaves them at -inf.
        extremes = torch.full((2 * self._classes,), -torch.inf, dtype=torch.float64, device=device)
        with self._taking_part():
            for images, labels in samples.chunks(self._world, _CHUNK):
                logits = self._logits(model, images)
                hits = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
                loss_sum += F.cross_entropy(logits, labels, reduction="sum")
                top1 += hits[:, 0].sum()
                top5 += hits.sum()
                count += len(labels)
                ends = torch.cat([logits.amax(0), (-logits).amax(0)]).double()
                extremes = torch.maximum(extremes, ends)
        model.train()
        failed = self._failed()
        sum_together([loss_sum, top1, top5, count, failed], self._world)
        self._raise_if(failed)
        assert count == len(samples.indices), "a sample was evaluated twice or not at all"
        return Score(
            loss=float(loss_sum / count),
            top1=float(100 * top1 / count),
            top5=float(100 * top5 / count),
            logit_spread=self._spread(extremes),
        )

    @torch.no_grad()
    def calibrate(self, model: nn.Module, samples: SampleSet, bn_batch: int) -> None:
        """Recompute BatchNorm statistics over the set, until the next training step.

        Raises:
            TrainError: another rank failed. What failed on this rank is raised as it was.
        """
        groups = max(1, _CHUNK // bn_batch)
        with calibrating(model, bn_batch) as moments:
            with self._taking_part():
                for images, _ in samples.chunks(self._world, groups * bn_batch):
                    self._logits(model, images)
            failed = self._failed()
            sum_together([*moments, failed], self._world)
        self._raise_if(failed)

    @contextmanager
    def _taking_part(self) -> Iterator[None]:
        """Keep a failure until the ranks have summed: the others wait there."""
        try:
            yield
        except Exception as failure:
            if self._world.size == 1:
                raise
            self._failure = failure

    def _failed(self) -> Tensor:
        """1 if something failed on this rank, else 0; to be summed."""
        return torch.tensor(
            float(self._failure is not None), dtype=torch.float64, device=self._numerics.device
        )

    def _raise_if(self, failed: Tensor) -> None:
        if failed > 0:
            raise self._failure or TrainError("another rank failed in an evaluation; see its log")

    def _logits(self, model: nn.Module, images: Tensor) -> Tensor:
        with self._numerics.autocast():
            logits: Tensor = model(self._preparation.for_evaluation(images))
        return logits.to(self._numerics.dtype)

    def _spread(self, extremes: Tensor) -> float:
        largest, negated_smallest = self._world.max(extremes).view(2, -1)
        spread = (largest + negated_smallest).amax()
        scale = torch.maximum(largest.abs(), negated_smallest.abs()).amax().clamp(min=1)
        return float(spread / scale)
