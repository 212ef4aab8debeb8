"""Sums of gradients over ranks, in one fixed layout so that equal shapes give equal bits.

DistributedDataParallel rearranges its buckets after the first iteration, by the order in which
gradients became ready; a resumed trial starts with the first layout again, so from three ranks up
it adds in another order and ends with other bits. Here bucket k holds the same elements forever.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lars_sweep.train.world import World

_BUCKET_BYTES = 25 * 2**20
_ALIGNMENT = 64
"""Elements: every view starts at a full cache line, as tensors of their own do."""


class GradientBuckets:
    """Flat buffers, some 25 MiB each, with the gradients of all parameters as views."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._flat: list[Tensor] = []
        self._views: list[Tensor] = []
        open_bucket: list[nn.Parameter] = []
        for parameter in self._parameters:
            open_bucket.append(parameter)
            if sum(p.numel() * p.element_size() for p in open_bucket) >= _BUCKET_BYTES:
                self._close(open_bucket)
                open_bucket = []
        if open_bucket:
            self._close(open_bucket)

    def _close(self, parameters: list[nn.Parameter]) -> None:
        padded = [-(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT for parameter in parameters]
        flat = parameters[0].new_zeros(sum(padded))
        for parameter, piece in zip(parameters, torch.split(flat, padded), strict=True):
            # In the parameter's own layout (channels_last), as autograd and optimizers want it.
            self._views.append(piece.as_strided(parameter.shape, parameter.stride()))
        self._flat.append(flat)

    def reduce(self, world: World) -> None:
        """Replace every parameter's gradient by its sum over ranks; none counts as zeros."""
        present = [
            (view, parameter.grad)
            for view, parameter in zip(self._views, self._parameters, strict=True)
            if parameter.grad is not None
        ]
        if len(present) < len(self._views):
            for flat in self._flat:
                flat.zero_()
        if present:
            views, gradients = zip(*present, strict=True)
            torch._foreach_copy_(list(views), list(gradients))
        for flat in self._flat:
            world.sum(flat)
        for view, parameter in zip(self._views, self._parameters, strict=True):
            parameter.grad = view


def sum_together(tensors: Sequence[Tensor], world: World) -> None:
    """Sum many small tensors of one dtype over ranks, in place, in one message."""
    if world.size == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    world.sum(flat)
    pieces = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, piece in zip(tensors, pieces, strict=True):
        tensor.copy_(piece.view(tensor.shape))
