"""One forward pass of the user's own networks, before a cluster meets their mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import torch
from torch import Tensor, nn

from lars_sweep.data import DataInfo
from lars_sweep.errors import TrainError
from lars_sweep.spec.fields import is_user_object
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.models import build_model

SAMPLES = 2
"""The fewest that BatchNorm takes."""


def check_networks(trials: Iterable[TrialSpec], info: DataInfo) -> None:
    """Pass two images through each network of the user's own, as training and evaluation will.

    Args:
        trials: of the plan.
        info: their data set.

    Raises:
        TrainError: a network cannot be made, does not take the images, or returns something else
            than logits.
    """
    for model, init in dict.fromkeys((trial.model, trial.init) for trial in trials):
        if is_user_object(model):
            _check(model, init, info)


@cache
def built(model: str, init: str, info: DataInfo) -> nn.Module:
    """The network for this data set, on the meta device, where nothing is allocated for it.

    One whose function needs real numbers is on the CPU.

    Raises:
        TrainError: as `build_model`.
    """
    try:
        return _built(model, init, info, "meta")
    except TrainError:
        return _built(model, init, info, "cpu")


def _built(model: str, init: str, info: DataInfo, device: str) -> nn.Module:
    with torch.device(device):
        return build_model(
            model,
            info.num_classes,
            in_channels=info.channels,
            image_size=info.image_size,
            init=init,  # type: ignore[arg-type]
        )


def _check(model: str, init: str, info: DataInfo) -> None:
    network = built(model, init, info)
    try:
        _pass_through(model, network, info)
    except Exception:
        # Not every operation has a form without numbers: what the CPU says holds.
        _pass_through(model, _built(model, init, info, "cpu"), info)


def _pass_through(model: str, network: nn.Module, info: DataInfo) -> None:
    """Forward in both modes.

    Raises:
        TrainError: it fails, or returns something else than logits.
    """
    shape = (SAMPLES, info.channels, info.image_size, info.image_size)
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    images = torch.zeros(shape, device=device)
    for mode in ("training", "evaluation"):
        network.train(mode == "training")
        try:
            with torch.no_grad():
                outputs = network(images)
        except Exception as error:
            said = " ".join(str(error).split())
            raise TrainError(
                f"model {model}: in {mode} it fails on images of shape {shape}: "
                f"{type(error).__name__}: {said}; allowed: a network that takes (N, "
                f"{info.channels}, {info.image_size}, {info.image_size}) float32 and returns (N, "
                f"{info.num_classes})"
            ) from error
        # Auxiliary logits count in training only.
        parts = outputs if mode == "training" and isinstance(outputs, tuple) else (outputs,)
        wrong = [part for part in parts if not _is_logits(part, info.num_classes)]
        if wrong or not parts:
            raise TrainError(
                f"model {model}: in {mode} it returns {_described(wrong)} for {SAMPLES} images of "
                f"{info.name}; allowed: logits, ({SAMPLES}, {info.num_classes}): one row per "
                "image, one column per class"
            )


def _is_logits(value: object, classes: int) -> bool:
    return (
        isinstance(value, Tensor)
        and value.shape == (SAMPLES, classes)
        and value.is_floating_point()
    )


def _described(values: list[object]) -> str:
    if not values:
        return "an empty tuple"
    value = values[0]
    if not isinstance(value, Tensor):
        return type(value).__name__
    return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
