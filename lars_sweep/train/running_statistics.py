"""BatchNorm's running buffers, moved once per optimizer step."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lars_sweep.train.layers import GroupBatchNorm2d


class RunningStatistics:
    """Running buffers and pending sums of all BatchNorm layers of a network, in flat tensors.

    The buffers move towards the mean over all groups of a step (PROTOCOL.md 4). The first step
    replaces their initial values, as in NVIDIA's Caffe: averaged in, those would hold a share of
    0.9ᵗ after t steps, and 53 layers raise it to logits in the hundreds.

    The layers' buffers become views, so that a step costs a dozen small operations, not a dozen
    per layer, and ranks one message. Make it when the network is on its device.
    """

    def __init__(self, model: nn.Module) -> None:
        layers = [module for module in model.modules() if isinstance(module, GroupBatchNorm2d)]
        self._layers = len(layers)
        if not layers:
            self.pending = next(model.parameters()).new_zeros(0)
            return
        self.pending = _flat(layers, "pending")
        """(Σ(2C + 1),) of each layer in turn Σ mean, Σ variance and number of groups; ranks sum it
        before `fold`."""
        self._running = _flat(layers, "running_mean", "running_var")
        self._untouched_L = _flat(layers, "untouched")
        self._momentum_L = self._running.new_tensor([layer.momentum for layer in layers])
        sizes = torch.tensor([2 * layer.num_features for layer in layers])
        device = self.pending.device
        layer = torch.repeat_interleave(torch.arange(len(layers)), sizes)
        self._layer = layer.to(device)
        # Before the sums of layer l stand its predecessors' l counts.
        self._sum_at = (torch.arange(len(layer)) + layer).to(device)
        self._count_at_L = (sizes + 1).cumsum(0).sub(1).to(device)

    @torch.no_grad()
    def fold(self) -> None:
        """Move the running buffers towards the mean over the pending groups, then forget those."""
        if not self._layers:
            return
        groups_L = self.pending.index_select(0, self._count_at_L)
        # A layer without any group keeps its buffers, and no device is asked for the count.
        seen_L = groups_L > 0
        weight_L = torch.maximum(self._untouched_L, self._momentum_L) * seen_L
        groups = groups_L.clamp(min=1).index_select(0, self._layer)
        mean = self.pending.index_select(0, self._sum_at) / groups
        self._running.lerp_(mean, weight_L.index_select(0, self._layer))
        self._untouched_L.mul_(~seen_L)
        self.pending.zero_()


def _flat(layers: list[GroupBatchNorm2d], *names: str) -> Tensor:
    """The named buffers of all layers, layer by layer; the layers' own become views of it."""
    buffers = [(layer, name, getattr(layer, name)) for layer in layers for name in names]
    flat = torch.cat([buffer.reshape(-1) for _, _, buffer in buffers])
    pieces = flat.split_with_sizes([buffer.numel() for _, _, buffer in buffers])
    for (layer, name, buffer), piece in zip(buffers, pieces, strict=True):
        setattr(layer, name, piece.view(buffer.shape))
    return flat
