"""Gradient norms that the noise scale is computed from, at weights that stand still.

From K independent micro-batches of b samples each, B = K·b: s = mean |g_k|² and L = |mean g_k|²
(PROTOCOL.md 19; McCandlish et al. 2018, appendix A.1). Whose micro-batch it is makes no difference:
K ranks with one each and one rank with K give the same numbers. `lars_sweep.worker.noise_scale`
makes the answer of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lars_sweep.data import random_key, splitmix64
from lars_sweep.errors import TrainError
from lars_sweep.spec.noise import micro_batches
from lars_sweep.spec.trainer import NoiseNorms
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.augment import Preparation
from lars_sweep.train.buckets import sum_together
from lars_sweep.train.layers import deterministic
from lars_sweep.train.numerics import Numerics
from lars_sweep.train.optimizers.norms import norms
from lars_sweep.train.parts import Parts
from lars_sweep.train.step import loss_sum
from lars_sweep.train.world import World


def gradient_squares(
    losses: Iterable[Tensor], parameters: Sequence[Tensor], world: World | None = None
) -> tuple[float, float]:
    """(s, L): mean of the squared gradient norms and squared norm of the mean gradient.

    Args:
        losses: the mean loss of each of this rank's micro-batches, all of one size; computed as
            they are asked for, so that one graph lives at a time.
        parameters: the gradients are with respect to these; ``.grad`` is left alone.
        world: the ranks that take part, all at once; None: this process alone.

    Raises:
        TrainError: another rank failed. What failed on this rank is raised as it was.
    """
    world = world or World()
    failure: Exception | None = None
    # Squared norms, micro-batches, failures; the sum of gradients in the parameters' own dtype.
    counted = torch.zeros(3, dtype=torch.float64, device=parameters[0].device)
    total = [torch.zeros_like(parameter) for parameter in parameters]
    try:
        for loss in losses:
            gradient = _gradient(loss, parameters)
            counted[0] += norms(gradient).double().square().sum()
            counted[1] += 1
            torch._foreach_add_(total, gradient)
    except Exception as error:
        if world.size == 1:
            raise
        # The other ranks wait in the sum.
        failure = error
        counted[2] = 1
    sum_together([counted], world)
    sum_together(total, world)
    squares, count, failures = counted.tolist()
    if failures:
        raise failure or TrainError("another rank failed in a noise measurement; see its log")
    return squares / count, float(norms(total).double().square().sum()) / count**2


def _gradient(loss: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [
        torch.zeros_like(parameter) if gradient is None else gradient
        for parameter, gradient in zip(parameters, found, strict=True)
    ]


class NoiseMeter:
    """Measures a trial's network on fresh samples of its training part, augmented as in training.

    A micro-batch is an atom, and as many make a measurement as make a step (at least two). Samples
    are drawn with replacement, so that micro-batches are independent however small the data set.
    A measurement sees the same samples at every step: their luck does not enter the trend over a
    trial.
    """

    def __init__(
        self,
        trial: TrialSpec,
        model: nn.Module,
        parts: Parts,
        preparation: Preparation,
        numerics: Numerics,
        world: World,
    ) -> None:
        self._trial, self._model, self._parts = trial, model, parts
        self._preparation, self._numerics, self._world = preparation, numerics, world
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._count = micro_batches(trial)

    def measure(self, step: int, number: int) -> NoiseNorms:
        """Norms at the weights as they are, after ``step`` steps; all ranks call it together."""
        with deterministic(self._model):
            micro, mean = gradient_squares(self._losses(number), self._parameters, self._world)
        return NoiseNorms(
            step=step,
            measurement=number,
            micro_batch=self._trial.bn_batch,
            micro_batches=self._count,
            micro_square=micro,
            mean_square=mean,
        )

    def _losses(self, measurement: int) -> Iterator[Tensor]:
        trial, size = self._trial, self._trial.bn_batch
        for group in range(*self._world.share(self._count)):
            # Positions beyond the trial's own stream: augmentation that no step has seen.
            first = trial.steps * trial.global_batch + (measurement * self._count + group) * size
            yield self._loss(np.arange(first, first + size))

    def _loss(self, samples: NDArray[np.int64]) -> Tensor:
        source, training = self._parts.source, self._parts.training
        bits = splitmix64(random_key(self._trial.seed, "noise scale"), samples)
        chosen = training[(bits % np.uint64(len(training))).astype(np.int64)]
        images, labels = self._preparation.fetch(source, chosen, samples)
        images = self._preparation.for_training(samples, source, images)
        return loss_sum(self._model, images, labels, self._numerics) / len(labels)
