"""Networks of the user's own, as ``package.module:function``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from lars_sweep.errors import TrainError
from lars_sweep.train.dropout import GroupDropout
from lars_sweep.train.layers import GroupBatchNorm2d


def build_user_model(
    name: str, *, num_classes: int, in_channels: int, image_size: int | None, seed: int | None
) -> nn.Module:
    """Call the user's function and make its layers independent of the machine.

    With a seed, torch's generator is seeded with it around the call and restored afterwards.

    Raises:
        TrainError: the function cannot be imported, fails, returns no module, or the module has
            a layer that couples samples or draws numbers in a way that has no group form.
    """
    function = _resolve(name)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.default_generator.manual_seed(seed)
        try:
            model = function(
                num_classes=num_classes, in_channels=in_channels, image_size=image_size
            )
        except Exception as error:
            raise TrainError(
                f"model {name}: the call with num_classes={num_classes}, "
                f"in_channels={in_channels}, image_size={image_size} failed: "
                f"{type(error).__name__}: {error}"
            ) from error
    if not isinstance(model, nn.Module):
        raise TrainError(
            f"model {name}: returned {type(model).__name__}; allowed: a torch.nn.Module"
        )
    return convert_layers(model, name)


def convert_layers(model: nn.Module, name: str = "model") -> nn.Module:
    """Replace BatchNorm2d and Dropout, in place, by their group forms.

    Raises:
        TrainError: for any other BatchNorm or Dropout, naming the layer.
    """
    converted: dict[nn.Module, nn.Module] = {}
    for path, module in list(model.named_modules(remove_duplicate=False)):
        if isinstance(module, _BatchNorm | _DropoutNd):
            if module not in converted:
                converted[module] = _group_form(module, f"{name}: layer {path or '(root)'}")
            if not path:
                return converted[module]
            parent, _, attribute = path.rpartition(".")
            setattr(model.get_submodule(parent), attribute, converted[module])
    return model


def _group_form(module: nn.Module, where: str) -> nn.Module:
    if type(module) is nn.Dropout:
        return GroupDropout(module.p)
    if type(module) is nn.BatchNorm2d and module.running_mean is not None and module.momentum:
        replacement = GroupBatchNorm2d(
            module.num_features, affine=module.affine, eps=module.eps, momentum=module.momentum
        )
        replacement.load_state_dict(module.state_dict(), strict=False)
        # What a pretrained layer brought is averaged on, not replaced.
        assert module.num_batches_tracked is not None  # it comes with the running statistics
        replacement.untouched.copy_(module.num_batches_tracked.eq(0))
        return replacement.to(module.running_mean.device)
    raise TrainError(
        f"{where}: got {module}; allowed: BatchNorm2d with running statistics and a momentum, "
        "Dropout, and layers that treat every sample by itself and draw no random numbers "
        "(GroupNorm, LayerNorm, …)"
    )


def _resolve(name: str) -> Callable[..., object]:
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise TrainError(
            f"model {name}: cannot import {module_name}: {error}; "
            "put its folder on PYTHONPATH or install its package"
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        names = sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
        raise TrainError(
            f"model {name}: {module_name} has no function {function_name!r}; "
            f"it has: {', '.join(names) or 'none'}"
        )
    return cast(Callable[..., object], function)
