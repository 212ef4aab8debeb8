"""The built-in networks by name, and `build_model`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from lars_sweep.errors import TrainError
from lars_sweep.train.layers import GroupBatchNorm2d, GroupDropout, number_layers
from lars_sweep.train.models import alexnet
from lars_sweep.train.models.fillers import Fillers, fill, with_he_weights

Init = Literal["paper", "he"]


@dataclass(frozen=True, slots=True)
class Network:
    """A built-in network."""

    construct: Callable[..., nn.Module]
    """Called with ``num_classes``, ``in_channels`` and ``image_size``."""
    fillers: Callable[[Any], Fillers]
    image_sizes: tuple[int, ...]
    """Sides of the square images that it takes, the default first."""


def _small_alexnet(norm: Literal["lrn", "bn"]) -> Callable[..., nn.Module]:
    def construct(*, image_size: int, **shape: int) -> nn.Module:
        plan = alexnet.TINY if image_size == 8 else alexnet.SMALL
        return alexnet.AlexNet(plan, norm=norm, image_size=image_size, **shape)

    return construct


def _alexnet(norm: Literal["lrn", "bn"]) -> Callable[..., nn.Module]:
    def construct(**shape: int) -> nn.Module:
        return alexnet.AlexNet(alexnet.FULL, norm=norm, **shape)

    return construct


NETWORKS: dict[str, Network] = {
    "alexnet": Network(_alexnet("lrn"), alexnet.alexnet_fillers, (227,)),
    "alexnet_bn": Network(_alexnet("bn"), alexnet.alexnet_fillers, (227,)),
    "small_alexnet": Network(_small_alexnet("lrn"), alexnet.alexnet_fillers, (28, 32, 8)),
    "small_alexnet_bn": Network(_small_alexnet("bn"), alexnet.alexnet_fillers, (28, 32, 8)),
}


def build_model(
    name: str,
    num_classes: int = 1000,
    *,
    in_channels: int = 3,
    image_size: int | None = None,
    init: Init = "paper",
    seed: int | None = None,
) -> nn.Module:
    """A network ready to train, on the CPU in float32.

    Args:
        name: a built-in network.
        num_classes: width of the last layer.
        in_channels: 1 or 3.
        image_size: side of the square images; None: the network's default.
        init: ``paper``: the fillers of the paper's own network files; ``he``: the control,
            N(0, 2/fan_in) for all weights.
        seed: makes the weights a function of (seed, parameter name); None: torch's generator.

    Raises:
        TrainError: the name is unknown or the image size does not fit.
    """
    network = _network(name)
    size = network.image_sizes[0] if image_size is None else image_size
    if size not in network.image_sizes:
        allowed = ", ".join(map(str, network.image_sizes))
        raise TrainError(f"model {name}: image_size: got {size}; allowed: {allowed}")
    # Built without storage first: torch's own initialisation of 61 million weights is not needed.
    with torch.device("meta"):
        model = network.construct(num_classes=num_classes, in_channels=in_channels, image_size=size)
    model = model.to_empty(device="cpu")
    for module in model.modules():
        if isinstance(module, GroupBatchNorm2d | GroupDropout):
            module.reset_buffers()
    fillers = network.fillers(model)
    fill(model, with_he_weights(model, fillers) if init == "he" else fillers, seed)
    number_layers(model)
    return model


def _network(name: str) -> Network:
    if name not in NETWORKS:
        raise TrainError(f"model: got {name!r}; allowed: {', '.join(NETWORKS)}")
    return NETWORKS[name]
