"""AlexNet: BVLC's, NVIDIA's with BatchNorm, and both in small."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from lars_sweep.train.dropout import GroupDropout
from lars_sweep.train.layers import GroupBatchNorm2d
from lars_sweep.train.models.fillers import Constant, Fillers, Gaussian, fan_in
from lars_sweep.train.models.lrn import LocalResponseNorm


@dataclass(frozen=True, slots=True, kw_only=True)
class Convolution:
    """One convolution of an AlexNet."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    pool: bool = False
    """Followed by a 3×3 max pooling of stride 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlexNetPlan:
    """The shape of an AlexNet: five convolutions, two hidden fully connected layers."""

    convolutions: tuple[Convolution, ...]
    hidden: int
    """Width of fc6 and fc7."""
    dropout: float = 0.5


FULL = AlexNetPlan(
    convolutions=(
        Convolution(channels=96, kernel=11, stride=4, pool=True),
        Convolution(channels=256, kernel=5, padding=2, groups=2, pool=True),
        Convolution(channels=384, kernel=3, padding=1),
        Convolution(channels=384, kernel=3, padding=1, groups=2),
        Convolution(channels=256, kernel=3, padding=1, groups=2, pool=True),
    ),
    hidden=4096,
)
SMALL = AlexNetPlan(
    convolutions=(
        Convolution(channels=16, kernel=5, padding=2, pool=True),
        Convolution(channels=32, kernel=5, padding=2, groups=2, pool=True),
        Convolution(channels=48, kernel=3, padding=1),
        Convolution(channels=48, kernel=3, padding=1, groups=2),
        Convolution(channels=32, kernel=3, padding=1, groups=2, pool=True),
    ),
    hidden=128,
)
"""Images of 28×28 and 32×32: the stride of 4 goes, the three poolings stay."""
TINY = AlexNetPlan(
    convolutions=(
        Convolution(channels=16, kernel=3, padding=1, pool=True),
        Convolution(channels=32, kernel=3, padding=1, groups=2, pool=True),
        Convolution(channels=48, kernel=3, padding=1),
        Convolution(channels=48, kernel=3, padding=1, groups=2),
        Convolution(channels=32, kernel=3, padding=1, groups=2, pool=True),
    ),
    hidden=128,
)
"""Images of 8×8."""


class AlexNet(nn.Module):
    """BVLC AlexNet (``norm="lrn"``) or NVIDIA's AlexNet_bn, train_val2 (``norm="bn"``).

    lrn: ReLU, LRN, pooling, in this order, after conv1 and conv2. bn: BatchNorm without affine on
    the *inputs* of conv2 to conv5, none before conv1 or around the fully connected layers.
    """

    def __init__(
        self,
        plan: AlexNetPlan,
        *,
        norm: Literal["lrn", "bn"],
        num_classes: int,
        in_channels: int,
        image_size: int,
    ) -> None:
        super().__init__()
        self.plan, self.norm = plan, norm
        channels, size = in_channels, image_size
        for number, c in enumerate(plan.convolutions, start=1):
            if norm == "bn" and number > 1:
                bn = GroupBatchNorm2d(channels, affine=False, eps=1e-4, momentum=0.1)
                self.add_module(f"bn{number}", bn)
            convolution = nn.Conv2d(
                channels, c.channels, c.kernel, c.stride, c.padding, groups=c.groups
            )
            self.add_module(f"conv{number}", convolution)
            channels = c.channels
            size = (size + 2 * c.padding - c.kernel) // c.stride + 1
            if c.pool:
                size = pooled(size)
        self.lrn = LocalResponseNorm()
        self.fc6 = nn.Linear(channels * size**2, plan.hidden)
        self.drop6 = GroupDropout(plan.dropout)
        self.fc7 = nn.Linear(plan.hidden, plan.hidden)
        self.drop7 = GroupDropout(plan.dropout)
        self.fc8 = nn.Linear(plan.hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, C, H, W)."""
        for number, c in enumerate(self.plan.convolutions, start=1):
            if self.norm == "bn" and number > 1:
                x = self.get_submodule(f"bn{number}")(x)
            x = F.relu(self.get_submodule(f"conv{number}")(x), inplace=True)
            if self.norm == "lrn" and number <= 2:
                x = self.lrn(x)
            if c.pool:
                x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        x = self.drop6(F.relu(self.fc6(x.flatten(1)), inplace=True))
        x = self.drop7(F.relu(self.fc7(x), inplace=True))
        logits: Tensor = self.fc8(x)
        return logits


def pooled(size: int) -> int:
    """Side after Caffe's 3×3 max pooling of stride 2 without padding (ceil mode)."""
    return math.ceil(max(size - 3, 0) / 2) + 1


# BVLC's standard deviations as gains std·√fan_in of the full network, so that the small ones
# start with the same ratio of output to input in every layer.
_GAINS = {
    "conv1": 0.01 * math.sqrt(3 * 11 * 11),
    "conv2": 0.01 * math.sqrt(48 * 5 * 5),
    "conv3": 0.01 * math.sqrt(256 * 3 * 3),
    "conv4": 0.01 * math.sqrt(192 * 3 * 3),
    "conv5": 0.01 * math.sqrt(192 * 3 * 3),
    "fc6": 0.005 * math.sqrt(256 * 6 * 6),
    "fc7": 0.005 * math.sqrt(4096),
    "fc8": 0.01 * math.sqrt(4096),
}
_BIASES = {
    "lrn": {
        "conv1": 0.0,
        "conv2": 0.1,
        "conv3": 0.0,
        "conv4": 0.1,
        "conv5": 0.1,
        "fc6": 0.1,
        "fc7": 0.1,
        "fc8": 0.0,
    },
    # NVIDIA's fillers, without a zero: the paper's Table 2 shows them (its .w and .b are swapped).
    "bn": {f"conv{i}": 0.01 for i in range(1, 6)} | {"fc6": 0.1, "fc7": 0.1, "fc8": 0.01},
}


def alexnet_fillers(model: AlexNet) -> Fillers:
    """The fillers of BVLC's and NVIDIA's prototxt files, carried to small nets by their gains.

    A full-size network with three input channels gets the printed standard deviations exactly.
    """
    fillers: Fillers = {}
    for layer, gain in _GAINS.items():
        weight = model.get_parameter(f"{layer}.weight")
        fillers[f"{layer}.weight"] = Gaussian(gain / math.sqrt(fan_in(weight)))
        fillers[f"{layer}.bias"] = Constant(_BIASES[model.norm][layer])
    return fillers
