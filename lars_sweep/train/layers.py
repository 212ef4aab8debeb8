"""The atom's BatchNorm, and what steers all layers whose training knows atoms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lars_sweep.errors import TrainError
from lars_sweep.train.atoms import Atoms, group_size
from lars_sweep.train.dropout import GroupDropout


class GroupBatchNorm2d(nn.Module):
    """BatchNorm over every group of a micro-batch by itself ("ghost" BatchNorm).

    Training with atoms leaves the running buffers alone and collects the statistics of the groups
    in ``pending``; `RunningStatistics` updates the buffers once per optimizer step. Training
    without atoms is `torch.nn.BatchNorm2d`.

    Evaluation uses the statistics of the latest `calibrating`, else the running buffers.
    """

    running_mean: Tensor
    running_var: Tensor
    untouched: Tensor
    pending: Tensor
    moments: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        affine: bool = True,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features)) if affine else None
        self.bias = nn.Parameter(torch.zeros(num_features)) if affine else None
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        # 1 while the two above hold their initial values, then 0.
        self.register_buffer("untouched", torch.ones(()))
        # Σ mean, Σ unbiased variance, number of groups.
        self.register_buffer("pending", torch.zeros(2 * num_features + 1), persistent=False)
        # Σ x, Σ x², number of values while calibrating; float64, as their difference cancels.
        self.register_buffer(
            "moments", torch.zeros(2 * num_features + 1, dtype=torch.float64), persistent=False
        )
        self.groups: int | None = None
        self.calibration_group: int | None = None
        self.calibrated: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``x`` (N, C, H, W); same shape and dtype."""
        if self.calibration_group is not None:
            return self._normalise_groups(x, self.calibration_group, calibrating=True)
        if self.training and self.groups is not None:
            return self._normalise_groups(x, group_size(x, self.groups), calibrating=False)
        mean, variance = self.running_mean, self.running_var
        if not self.training and self.calibrated is not None:
            mean, variance = self.calibrated
        return F.batch_norm(
            x, mean, variance, self.weight, self.bias, self.training, self.momentum, self.eps
        )

    def _normalise_groups(self, x: Tensor, size: int, *, calibrating: bool) -> Tensor:
        # One native call per group: split and cat cost one copy each way, while a single call on
        # (size, groups·C, H, W) would cost two transpositions each way.
        # A single group is not split: the backward pass would copy its whole gradient.
        chunks = (x,) if len(x) == size else torch.split(x, size)
        channels, rows, outputs = self.num_features, [], []
        for chunk in chunks:
            # Mean, unbiased variance, 1. "Momentum" 1 makes torch write the first two.
            row = self.running_mean.new_ones(2 * channels + 1)
            mean, variance, _ = row.split_with_sizes([channels, channels, 1])
            outputs.append(
                F.batch_norm(chunk, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
            )
            rows.append(row)
        if calibrating:
            values = [chunk.numel() // channels for chunk in chunks]
            self._add_moments(torch.stack(rows), torch.tensor(values, device=x.device))
        else:
            for row in rows:
                self.pending.add_(row)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _add_moments(self, rows: Tensor, values: Tensor) -> None:
        mean, unbiased = rows[:, :-1].double().chunk(2, dim=1)
        n = values.double().unsqueeze(1)
        square = unbiased * (n - 1) / n + mean**2
        self.moments += torch.cat([(n * mean).sum(0), (n * square).sum(0), n.sum(0)])

    def finish_calibration(self) -> None:
        """Turn the collected moments into the statistics of the coming evaluation."""
        n = self.moments[-1].clamp(min=1)
        mean, square = (self.moments[:-1] / n).view(2, -1)
        variance = (square - mean**2).clamp(min=0)
        self.calibrated = mean.to(self.running_mean.dtype), variance.to(self.running_var.dtype)

    def reset_buffers(self) -> None:
        """Set every buffer to its initial value, as after ``to_empty``."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.untouched.fill_(1)
        self.pending.zero_()
        self.moments.zero_()

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        affine = self.weight is not None
        return f"{self.num_features}, affine={affine}, eps={self.eps}, momentum={self.momentum}"


def set_atoms(
    model: nn.Module | list[GroupBatchNorm2d | GroupDropout], atoms: Atoms | None
) -> None:
    """Tell every group layer, or each of a list, which groups the next training forward holds.

    Call it before each training forward. Statistics from `calibrating` are dropped, since the
    weights that they belong to are about to change. None: the layers act as torch's own.

    Raises:
        TrainError: ``atoms`` names no group.
    """
    if atoms is not None and atoms.groups < 1:
        raise TrainError(f"set_atoms: groups: got {atoms.groups}; allowed: at least 1")
    groups = None if atoms is None else atoms.groups
    for layer in model if isinstance(model, list) else group_layers(model):
        # A module's own way to set an attribute is slow, and most calls change none.
        if layer.groups != groups:
            layer.groups = groups
        if isinstance(layer, GroupDropout):
            if atoms is not None:
                layer.begin(atoms)
        elif layer.calibrated is not None:
            layer.calibrated = None


def group_layers(model: nn.Module) -> list[GroupBatchNorm2d | GroupDropout]:
    """The group layers of ``model``: what `set_atoms` needs of it.

    A loop keeps them and saves the walk over all modules in every step.
    """
    kinds = (GroupBatchNorm2d, GroupDropout)
    return [module for module in model.modules() if isinstance(module, kinds)]


@contextmanager
def calibrating(model: nn.Module, bn_batch: int) -> Iterator[list[Tensor]]:
    """Recompute the BatchNorm statistics of evaluations over a fixed set of samples.

    Inside, run the samples through the model in chunks of whole groups (the last group of the set
    may be smaller). Every group is normalised by its own statistics, as in training, and without
    dropout; a layer's evaluation statistics are the mean and the population variance of all its
    inputs over the set. So chunking and distribution change nothing but float64 rounding, and the
    running buffers stay as they are ("precise BatchNorm", Wu and Johnson 2021).

    Yields:
        One float64 tensor (2·C + 1,) per layer; ranks sum them in place before leaving.
    """
    layers = list(_batch_norms(model))
    was_training = model.training
    model.eval()
    for layer in layers:
        layer.moments.zero_()
        layer.calibration_group = bn_batch
    try:
        with torch.no_grad():
            yield [layer.moments for layer in layers]
            for layer in layers:
                layer.finish_calibration()
    finally:
        for layer in layers:
            layer.calibration_group = None
        model.train(was_training)


@contextmanager
def deterministic(model: nn.Module) -> Iterator[None]:
    """BatchNorm and dropout as in evaluation, all else as in training (auxiliary heads)."""
    layers = [m for m in model.modules() if isinstance(m, GroupBatchNorm2d | GroupDropout)]
    were_training = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.eval()
        yield
    finally:
        for layer, training in zip(layers, were_training, strict=True):
            layer.train(training)


def number_layers(model: nn.Module) -> None:
    """Give every dropout layer its own number, in the order of ``model.modules()``."""
    dropouts = (module for module in model.modules() if isinstance(module, GroupDropout))
    for number, module in enumerate(dropouts):
        module.layer = number


def _batch_norms(model: nn.Module) -> Iterator[GroupBatchNorm2d]:
    return (module for module in model.modules() if isinstance(module, GroupBatchNorm2d))
