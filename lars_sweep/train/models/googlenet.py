"""GoogLeNet (Szegedy et al. 2015) as BVLC trained it, and in small."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lars_sweep.train.dropout import GroupDropout
from lars_sweep.train.models.fillers import Constant, Fillers, xavier
from lars_sweep.train.models.lrn import LocalResponseNorm

Channels = tuple[int, int, int, int, int, int]
"""Of an inception: 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5, pool projection."""

_INCEPTIONS: dict[str, Channels] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_POOL_AFTER = frozenset({"3b", "4e"})
_AUX_AFTER = ("4a", "4d")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoogLeNetPlan:
    """The shape of a GoogLeNet."""

    shrink: int
    """Every channel number of the full network is divided by this."""
    stem_kernel: int
    stem_stride: int
    second_pool: bool
    """A pooling after conv2."""
    aux: bool
    """Two auxiliary classifiers, after 4a and 4d."""


FULL = GoogLeNetPlan(shrink=1, stem_kernel=7, stem_stride=2, second_pool=True, aux=False)
FULL_AUX = GoogLeNetPlan(shrink=1, stem_kernel=7, stem_stride=2, second_pool=True, aux=True)
SMALL = GoogLeNetPlan(shrink=8, stem_kernel=3, stem_stride=1, second_pool=False, aux=False)
"""Images of 28×28 and 32×32: a stride and a pooling go, every channel number is an eighth."""


class Inception(nn.Module):
    """Four branches side by side, ReLU after every convolution."""

    def __init__(self, inputs: int, channels: Channels) -> None:
        super().__init__()
        one, three_reduce, three, five_reduce, five, pool = channels
        self.conv1 = nn.Conv2d(inputs, one, 1)
        self.conv3_reduce = nn.Conv2d(inputs, three_reduce, 1)
        self.conv3 = nn.Conv2d(three_reduce, three, 3, padding=1)
        self.conv5_reduce = nn.Conv2d(inputs, five_reduce, 1)
        self.conv5 = nn.Conv2d(five_reduce, five, 5, padding=2)
        self.pool_projection = nn.Conv2d(inputs, pool, 1)
        self.outputs = one + three + five + pool

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) → (N, outputs, H, W)."""
        three = self.conv3(F.relu(self.conv3_reduce(x), inplace=True))
        five = self.conv5(F.relu(self.conv5_reduce(x), inplace=True))
        pool = self.pool_projection(F.max_pool2d(x, 3, 1, 1))
        return F.relu(torch.cat([self.conv1(x), three, five, pool], 1), inplace=True)


class AuxiliaryHead(nn.Module):
    """A classifier half-way, trained beside the main one."""

    def __init__(self, inputs: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 128, 1)
        self.fc = nn.Linear(128 * 4 * 4, 1024)
        self.drop = GroupDropout(0.7)
        self.classifier = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of features (N, inputs, 14, 14)."""
        x = F.relu(self.conv(F.avg_pool2d(x, 5, 3)), inplace=True)
        x = self.drop(F.relu(self.fc(x.flatten(1)), inplace=True))
        logits: Tensor = self.classifier(x)
        return logits


class GoogLeNet(nn.Module):
    """BVLC GoogLeNet; all pooling is in Caffe's ceil mode."""

    def __init__(
        self, plan: GoogLeNetPlan, *, num_classes: int, in_channels: int, image_size: int
    ) -> None:
        super().__init__()
        del image_size  # Any size: the last pooling is over what is left.
        self.plan = plan
        shrink, kernel = plan.shrink, plan.stem_kernel
        self.conv1 = nn.Conv2d(in_channels, 64 // shrink, kernel, plan.stem_stride, kernel // 2)
        self.conv2_reduce = nn.Conv2d(64 // shrink, 64 // shrink, 1)
        self.conv2 = nn.Conv2d(64 // shrink, 192 // shrink, 3, padding=1)
        self.lrn = LocalResponseNorm()
        channels = 192 // shrink
        self.inceptions, self.heads = nn.ModuleDict(), nn.ModuleDict()
        for name, full in _INCEPTIONS.items():
            one, reduce3, three, reduce5, five, pool = (c // shrink for c in full)
            inception = Inception(channels, (one, reduce3, three, reduce5, five, pool))
            self.inceptions[name] = inception
            channels = inception.outputs
            if plan.aux and name in _AUX_AFTER:
                self.heads[name] = AuxiliaryHead(channels, num_classes)
        self.drop = GroupDropout(0.4)
        self.classifier = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Logits (N, num_classes); in training with auxiliary heads (main, after 4a, after 4d)."""
        x = _pool(F.relu(self.conv1(x), inplace=True))
        x = F.relu(self.conv2_reduce(self.lrn(x)), inplace=True)
        x = self.lrn(F.relu(self.conv2(x), inplace=True))
        if self.plan.second_pool:
            x = _pool(x)
        auxiliary = []
        for name, inception in self.inceptions.items():
            x = inception(x)
            if self.training and name in self.heads:
                auxiliary.append(self.heads[name](x))
            if name in _POOL_AFTER:
                x = _pool(x)
        logits: Tensor = self.classifier(self.drop(x.mean((2, 3))))
        return (logits, *auxiliary) if auxiliary else logits


def googlenet_fillers(model: GoogLeNet) -> Fillers:
    """``xavier`` weights, biases 0.2, those of classifiers 0."""
    return {
        name: xavier(p) if p.ndim > 1 else Constant(0.0 if "classifier" in name else 0.2)
        for name, p in model.named_parameters()
    }


def _pool(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2, ceil_mode=True)
