"""One optimizer step: the gradient of the global batch, wherever its atoms are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.atoms import Atoms
from lars_sweep.train.batches import LoadedBatch
from lars_sweep.train.buckets import GradientBuckets, sum_together
from lars_sweep.train.compiled import refuse_other_gradient
from lars_sweep.train.layers import group_layers, set_atoms
from lars_sweep.train.models import training_loss
from lars_sweep.train.numerics import Numerics
from lars_sweep.train.running_statistics import RunningStatistics
from lars_sweep.train.world import World


class GradientStep:
    """Accumulates the mean gradient over a global batch and sums it over ranks.

    The gradient is the sum over atoms divided by the global batch, never a mean of means, so that
    uneven shares of ranks and micro-batches change nothing.
    """

    def __init__(
        self,
        trial: TrialSpec,
        model: nn.Module,
        numerics: Numerics,
        world: World,
        *,
        compiled: bool = False,
    ) -> None:
        self._trial = trial
        # Evaluations stay uncompiled: their statistics are other objects each time. Micro-batches
        # have two sizes at most.
        self._model = model
        self._forward = torch.compile(model, dynamic=False) if compiled else model
        self._compiled = compiled
        self._proved: set[int] = set()
        """Sizes of micro-batches whose compiled gradient has been compared with the eager one."""
        self._group_layers = group_layers(model)
        self._numerics = numerics
        self._world = world
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._buckets = GradientBuckets(self._parameters) if world.size > 1 else None
        self._statistics = RunningStatistics(model)

    def accumulate(self, batches: Iterable[LoadedBatch]) -> Tensor:
        """Leave this rank's part of the gradient in ``.grad``; returns its part of the loss."""
        total = self.nothing()
        for number, batch in enumerate(batches):
            if self._compiled and len(batch.images) not in self._proved:
                self._prove(batch)
            loss = self._loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            total = total + loss.detach() if number else loss.detach()
        return total

    def nothing(self) -> Tensor:
        """Forget what was accumulated in this step; the loss of no sample."""
        for parameter in self._parameters:
            parameter.grad = None
        self._statistics.pending.zero_()
        return torch.zeros((), device=self._numerics.device, dtype=self._numerics.dtype)

    def _prove(self, batch: LoadedBatch) -> None:
        """Compare the compiled gradient of a batch with the eager one; nothing else changes."""
        pending = self._statistics.pending.clone()
        names = {p: name for name, p in self._model.named_parameters()}
        found = []
        for forward in (self._model, self._forward):
            loss = self._loss(batch, forward)
            gradients = torch.autograd.grad(loss, self._parameters, materialize_grads=True)
            found.append({names[p]: g for p, g in zip(self._parameters, gradients, strict=True)})
        self._statistics.pending.copy_(pending)
        eager, compiled = found
        refuse_other_gradient(eager, compiled, len(batch.images))
        self._proved.add(len(batch.images))

    def _loss(self, batch: LoadedBatch, forward: Callable[..., Any] | None = None) -> Tensor:
        item = batch.micro_batch
        atoms = Atoms(self._trial.seed, item.step, item.first_group, item.groups)
        set_atoms(self._group_layers, atoms)
        forward = self._forward if forward is None else forward  # a compiled one has no truth value
        loss = loss_sum(forward, batch.images, batch.labels, self._numerics)
        return loss / self._trial.global_batch

    def reduce(self, loss: Tensor) -> Tensor:
        """Sum gradient, loss and BatchNorm statistics over ranks; update the running buffers.

        Args:
            loss: () this rank's part, as from `accumulate`.

        Returns:
            () the loss of the global batch, in training mode.
        """
        if self._buckets is not None:
            self._buckets.reduce(self._world)
        for parameter in self._parameters:
            # One that no loss depends on is treated alike on one rank and on many.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        sum_together([loss, self._statistics.pending], self._world)
        self._statistics.fold()
        return loss

    def gradients(self) -> list[Tensor]:
        """∇L of every parameter tensor, after `reduce`."""
        return [p.grad for p in self._parameters if p.grad is not None]


def loss_sum(
    model: Callable[..., Any], images: Tensor, labels: Tensor, numerics: Numerics
) -> Tensor:
    """() the training loss summed over the samples, in the trial's precision."""
    with numerics.autocast():
        outputs = model(images)
    # GoogLeNet's auxiliary heads make a tuple.
    if isinstance(outputs, tuple):
        return training_loss(tuple(logits.to(numerics.dtype) for logits in outputs), labels)
    return training_loss(outputs.to(numerics.dtype), labels)
