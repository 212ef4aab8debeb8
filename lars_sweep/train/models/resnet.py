"""ResNet-50 (He et al. 2016) as in NVIDIA's Caffe, v1 and v1.5, and in small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from lars_sweep.train.layers import GroupBatchNorm2d
from lars_sweep.train.models.fillers import Constant, Fillers, he

_EXPANSION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ResNetPlan:
    """The shape of a bottleneck ResNet."""

    stem: int
    """Channels of the first convolution."""
    stem_kernel: int
    stem_stride: int
    stem_pool: bool
    """A 3×3 max pooling of stride 2 after the first convolution."""
    widths: tuple[int, ...]
    """Inner channels of the blocks of each stage; a stage gives four times as many."""
    blocks: tuple[int, ...]
    """Blocks of each stage; every stage but the first halves the side."""
    stride_on: Literal["1x1", "3x3"] = "1x1"
    """Where a stage's first block has its stride: v1 or v1.5."""


RESNET50 = ResNetPlan(
    stem=64,
    stem_kernel=7,
    stem_stride=2,
    stem_pool=True,
    widths=(64, 128, 256, 512),
    blocks=(3, 4, 6, 3),
)
RESNET50_V15 = ResNetPlan(
    stem=64,
    stem_kernel=7,
    stem_stride=2,
    stem_pool=True,
    widths=(64, 128, 256, 512),
    blocks=(3, 4, 6, 3),
    stride_on="3x3",
)
SMALL = ResNetPlan(
    stem=16,
    stem_kernel=3,
    stem_stride=1,
    stem_pool=False,
    widths=(8, 16, 32, 64),
    blocks=(2, 2, 2, 2),
)
"""Images of 28×28 and 32×32; 26 layers with weights."""


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 with a shortcut, projected where the shape changes."""

    def __init__(self, channels: int, width: int, stride: int, stride_on: str) -> None:
        super().__init__()
        first, second = (stride, 1) if stride_on == "1x1" else (1, stride)
        out = width * _EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, first, bias=False)
        self.bn1 = _batch_norm(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, 1, bias=False)
        self.bn2 = _batch_norm(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = _batch_norm(out)
        self.shortcut = nn.Sequential()
        if stride > 1 or channels != out:
            self.shortcut.add_module("conv", nn.Conv2d(channels, out, 1, stride, bias=False))
            self.shortcut.add_module("bn", _batch_norm(out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) → (N, 4·width, H/stride, W/stride)."""
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        y = self.bn3(self.conv3(y))
        return F.relu(y + self.shortcut(x), inplace=True)


class ResNet(nn.Module):
    """A bottleneck ResNet; NVIDIA's Caffe pools without padding, in ceil mode, after conv1."""

    def __init__(
        self, plan: ResNetPlan, *, num_classes: int, in_channels: int, image_size: int
    ) -> None:
        super().__init__()
        del image_size  # Any size: the last pooling is over what is left.
        self.plan = plan
        kernel = plan.stem_kernel
        self.conv1 = nn.Conv2d(
            in_channels, plan.stem, kernel, plan.stem_stride, kernel // 2, bias=False
        )
        self.bn1 = _batch_norm(plan.stem)
        channels = plan.stem
        self.stages = nn.Sequential()
        for number, (width, blocks) in enumerate(zip(plan.widths, plan.blocks, strict=True)):
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if number > 0 and block == 0 else 1
                stage.append(Bottleneck(channels, width, stride, plan.stride_on))
                channels = width * _EXPANSION
            self.stages.append(stage)
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, num_classes) of images (N, C, H, W)."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        if self.plan.stem_pool:
            x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        logits: Tensor = self.fc(self.stages(x).mean((2, 3)))
        return logits


def resnet_fillers(model: ResNet) -> Fillers:
    """``msra`` for every weight, the classifier too; BatchNorm 1 and 0, none of them zeroed."""
    return {
        name: he(p) if p.ndim > 1 else Constant(0.0 if name.endswith("bias") else 1.0)
        for name, p in model.named_parameters()
    }


def _batch_norm(channels: int) -> GroupBatchNorm2d:
    return GroupBatchNorm2d(channels, affine=True, eps=1e-4, momentum=0.1)
