"""The built-in networks by name, and `build_model`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import nn

from lars_sweep.errors import TrainError
from lars_sweep.train.layers import number_layers
from lars_sweep.train.models import alexnet, googlenet, resnet
from lars_sweep.train.models.fillers import Fillers, fill, with_he_weights
from lars_sweep.train.models.googlenet import GoogLeNet
from lars_sweep.train.models.resnet import ResNet
from lars_sweep.train.models.user import build_user_model

Init = Literal["paper", "he"]


@dataclass(frozen=True, slots=True)
class Network:
    """A built-in network."""

    construct: Callable[..., nn.Module]
    """Called with ``num_classes``, ``in_channels`` and ``image_size``."""
    fillers: Callable[[Any], Fillers]
    image_sizes: tuple[int, ...]
    """Sides of the square images that it takes, the default first."""


def _alexnet(norm: Literal["lrn", "bn"], *, small: bool = False) -> Callable[..., nn.Module]:
    def construct(*, image_size: int, **shape: int) -> nn.Module:
        plan = alexnet.FULL
        if small:
            plan = alexnet.TINY if image_size == 8 else alexnet.SMALL
        return alexnet.AlexNet(plan, norm=norm, image_size=image_size, **shape)

    return construct


_alexnet_fillers = alexnet.alexnet_fillers
_googlenet_fillers = googlenet.googlenet_fillers
_resnet_fillers = resnet.resnet_fillers
_SMALL = (28, 32)

NETWORKS: dict[str, Network] = {
    "alexnet": Network(_alexnet("lrn"), _alexnet_fillers, (227,)),
    "alexnet_bn": Network(_alexnet("bn"), _alexnet_fillers, (227,)),
    "googlenet": Network(partial(GoogLeNet, googlenet.FULL), _googlenet_fillers, (224,)),
    "googlenet_aux": Network(partial(GoogLeNet, googlenet.FULL_AUX), _googlenet_fillers, (224,)),
    "resnet50": Network(partial(ResNet, resnet.RESNET50), _resnet_fillers, (224,)),
    "resnet50_v15": Network(partial(ResNet, resnet.RESNET50_V15), _resnet_fillers, (224,)),
    "small_alexnet": Network(_alexnet("lrn", small=True), _alexnet_fillers, (*_SMALL, 8)),
    "small_alexnet_bn": Network(_alexnet("bn", small=True), _alexnet_fillers, (*_SMALL, 8)),
    "small_googlenet": Network(partial(GoogLeNet, googlenet.SMALL), _googlenet_fillers, _SMALL),
    "small_resnet": Network(partial(ResNet, resnet.SMALL), _resnet_fillers, _SMALL),
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
        name: a built-in network, or ``package.module:function`` of a function that takes
            ``num_classes``, ``in_channels`` and ``image_size`` and returns a module. In the
            module, BatchNorm2d and Dropout are replaced by their group forms.
        num_classes: width of the last layer.
        in_channels: 1 or 3 as a rule.
        image_size: side of the square images; None: the network's default.
        init: ``paper``: the fillers of the paper's own network files, or what the user's function
            sets; ``he``: the control, all weights N(0, 2/fan_in) and the other parameters as
            before.
        seed: makes the weights a function of (seed, parameter name); None: torch's generator.

    Raises:
        TrainError: the name is unknown, the image size does not fit, or the user's function
            gives no usable module.
    """
    if ":" in name:
        model = build_user_model(
            name,
            num_classes=num_classes,
            in_channels=in_channels,
            image_size=image_size,
            seed=seed,
        )
        fillers: Fillers = {}
    else:
        network = _network(name)
        shape = {"num_classes": num_classes, "in_channels": in_channels}
        model = network.construct(image_size=_image_size(name, network, image_size), **shape)
        fillers = network.fillers(model)
    fill(model, with_he_weights(model, fillers) if init == "he" else fillers, seed)
    number_layers(model)
    return model


def default_image_size(name: str) -> int | None:
    """Side of the images that a built-in network takes by default; None for a user's network."""
    return None if ":" in name else _network(name).image_sizes[0]


def _image_size(name: str, network: Network, given: int | None) -> int:
    size = network.image_sizes[0] if given is None else given
    if size not in network.image_sizes:
        allowed = ", ".join(map(str, network.image_sizes))
        raise TrainError(f"model {name}: image_size: got {size}; allowed: {allowed}")
    return size


def _network(name: str) -> Network:
    if name not in NETWORKS:
        raise TrainError(
            f"model: got {name!r}; allowed: {', '.join(NETWORKS)}, or package.module:function"
        )
    return NETWORKS[name]
