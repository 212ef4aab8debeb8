"""Layers whose training does not depend on the machine: the atom's BatchNorm and dropout.

The global batch of a step is cut into groups of ``bn_batch`` consecutive samples that are never
split over ranks or micro-batches. A group is normalised by its own statistics and drops units by
its own random numbers, which are a function of (seed, step, layer, sample) and of nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lars_sweep.errors import TrainError

_MASK64 = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class Atoms:
    """Which whole groups of a step the next forward holds."""

    seed: int
    step: int
    first_group: int
    """Number of the first group within the step, over all ranks and micro-batches."""
    groups: int
    """Consecutive groups in this micro-batch; its samples divide evenly among them."""


class GroupBatchNorm2d(nn.Module):
    """BatchNorm over every group of a micro-batch by itself ("ghost" BatchNorm).

    Training with atoms leaves the running buffers alone and collects the statistics of the groups
    in ``pending``; `fold_statistics` updates the buffers once per optimizer step, from the mean
    over all groups of that step (PROTOCOL.md 4). The first step replaces their initial values, as
    in NVIDIA's Caffe: averaged in, those would hold a share of 0.9ᵗ after t steps, and 53 layers
    raise it to logits in the hundreds. Training without atoms is `torch.nn.BatchNorm2d`.

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
        # Σ mean, Σ unbiased variance, number of groups: one tensor, one message per layer.
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
            return self._normalise_groups(x, _group_size(x, self.groups), calibrating=False)
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
        # A row per group: mean, unbiased variance, 1. "Momentum" 1 makes torch write those two.
        rows = self.running_mean.new_ones(len(chunks), 2 * self.num_features + 1)
        statistics = rows[:, :-1].view(-1, 2, self.num_features)
        outputs = [
            F.batch_norm(chunk, mean, variance, self.weight, self.bias, True, 1.0, self.eps)
            for chunk, (mean, variance) in zip(chunks, statistics.unbind(), strict=True)
        ]
        with torch.no_grad():
            if calibrating:
                values = [chunk.numel() // self.num_features for chunk in chunks]
                self._add_moments(statistics, torch.tensor(values, device=x.device))
            else:
                self.pending.add_(rows.sum(0))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _add_moments(self, statistics: Tensor, values: Tensor) -> None:
        mean, unbiased = statistics.double().unbind(1)
        n = values.double().unsqueeze(1)
        square = unbiased * (n - 1) / n + mean**2
        self.moments += torch.cat([(n * mean).sum(0), (n * square).sum(0), n.sum(0)])

    def fold(self) -> None:
        """Move the running buffers towards the mean over the pending groups, then forget those."""
        groups = self.pending[-1]
        mean, variance = (self.pending[:-1] / groups.clamp(min=1)).view(2, -1)
        # A step without any group leaves the buffers alone, and no device is asked for the count.
        weight = self.untouched.clamp(min=self.momentum) * (groups > 0)
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(variance, weight)
        self.untouched.mul_(groups == 0)
        self.pending.zero_()

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


class GroupDropout(nn.Module):
    """Dropout whose mask is a function of (seed, step, layer, sample of the step, unit).

    The mask is a counter-based hash, not a draw: no generator, no state, equal bits on every
    device, in every micro-batching and on any number of ranks. Without atoms it is `F.dropout`.
    """

    key: Tensor
    first_group: Tensor

    def __init__(self, p: float = 0.5, *, layer: int = 0) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise TrainError(f"GroupDropout: p: got {p}; allowed: 0 <= p < 1")
        self.p, self.layer = p, layer
        self.groups: int | None = None
        # Tensors, so that a compiled step does not recompile when the step number changes.
        self.register_buffer("key", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("first_group", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Zero units of ``x`` (N, ...) with probability p and scale the others by 1/(1−p)."""
        if not self.training or self.p == 0:
            return x
        if self.groups is None:
            return F.dropout(x, self.p, training=True)
        return x * self._mask(x, self.groups)

    @torch.no_grad()
    def _mask(self, x: Tensor, groups: int) -> Tensor:
        first = self.first_group * _group_size(x, groups)
        rows = (first + torch.arange(len(x), device=x.device)) * _signed(_GOLDEN) + self.key
        row_keys = _mix64(rows).to(torch.int32)
        units = _mix32(torch.arange(x[0].numel(), dtype=torch.int32, device=x.device))
        bits = _mix32(row_keys[:, None] ^ units)
        threshold = round(self.p * 2**32) - 2**31
        return (bits >= threshold).to(x.dtype).mul_(1 / (1 - self.p)).view(x.shape)

    def reset_buffers(self) -> None:
        """Set every buffer to its initial value, as after ``to_empty``."""
        self.key.zero_()
        self.first_group.zero_()

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"p={self.p}, layer={self.layer}"


def set_atoms(model: nn.Module, atoms: Atoms | None) -> None:
    """Tell every group layer which groups the next training forward holds.

    Call it before each training forward. Statistics from `calibrating` are dropped, since the
    weights that they belong to are about to change. None: the layers act as torch's own.

    Raises:
        TrainError: ``atoms`` names no group.
    """
    if atoms is not None and atoms.groups < 1:
        raise TrainError(f"set_atoms: groups: got {atoms.groups}; allowed: at least 1")
    for module in model.modules():
        if isinstance(module, GroupBatchNorm2d):
            module.groups = None if atoms is None else atoms.groups
            module.calibrated = None
        elif isinstance(module, GroupDropout):
            module.groups = None if atoms is None else atoms.groups
            if atoms is not None:
                module.key.fill_(_signed(_hash(atoms.seed, atoms.step, module.layer)))
                module.first_group.fill_(atoms.first_group)


def group_layers(model: nn.Module) -> nn.ModuleList:
    """The group layers of ``model``: what `set_atoms` and `fold_statistics` need of it.

    A loop keeps it and saves the walk over all modules in every step.
    """
    kinds = (GroupBatchNorm2d, GroupDropout)
    return nn.ModuleList(module for module in model.modules() if isinstance(module, kinds))


def pending_statistics(model: nn.Module) -> list[Tensor]:
    """What ranks sum before `fold_statistics`: per BatchNorm layer Σ mean, Σ variance, groups.

    Returns:
        One float tensor (2·C + 1,) per layer, in the order of ``model.modules()``; views, so that
        an in-place all-reduce is enough.
    """
    return [module.pending for module in _batch_norms(model)]


@torch.no_grad()
def fold_statistics(model: nn.Module) -> None:
    """Update the running buffers once, from the mean over all groups of the step, and clear."""
    for module in _batch_norms(model):
        module.fold()


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


def _group_size(x: Tensor, groups: int) -> int:
    if len(x) % groups:
        raise TrainError(
            f"set_atoms announced {groups} groups, which do not divide {len(x)} samples"
        )
    return len(x) // groups


def _hash(*words: int) -> int:
    """A 64-bit hash of integers (splitmix64, chained)."""
    state = 0
    for word in words:
        z = (state + word + _GOLDEN) & _MASK64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
        state = z ^ (z >> 31)
    return state


def _signed(word: int) -> int:
    """The int64 with the bits of an unsigned 64-bit word."""
    return word - 2**64 if word >= 2**63 else word


def _mix64(z: Tensor) -> Tensor:
    """The finaliser of splitmix64 on int64; shifts are arithmetic in torch, hence the masks."""
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _signed(0x94D049BB133111EB)
    return z ^ ((z >> 31) & (2**33 - 1))


def _mix32(x: Tensor) -> Tensor:
    """A bijective 32-bit mixer (constants: Wellons, "lowbias32") on int32, in place."""
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    x *= 0x7FEB352D
    x ^= (x >> 15).bitwise_and_(0x1FFFF)
    x *= 0x846CA68B - 2**32
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    return x
