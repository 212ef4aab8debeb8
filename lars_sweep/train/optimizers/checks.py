"""What optimizers refuse at construction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lars_sweep.errors import TrainError

_CHOICES = {
    "momentum_form": ("inside", "outside"),
    "variant": ("paper", "no_decay_in_norm", "clip"),
    "granularity": ("layer", "network", "frozen"),
    "zero_norm": ("one", "zero"),
}


def check_options(optimizer: str, options: Mapping[str, Any]) -> None:
    """Refuse what cannot be meant.

    Raises:
        TrainError: naming the argument, what was given and what is allowed.
    """
    for name in ("lr", "weight_decay", "trust_coefficient"):
        if name in options and not options[name] >= 0:
            _refuse(optimizer, name, options[name], "a number of at least 0")
    if not 0 <= options["momentum"] < 1:
        _refuse(optimizer, "momentum", options["momentum"], "0 <= momentum < 1")
    if options["nesterov"] and options["momentum"] == 0:
        _refuse(optimizer, "nesterov", "True with momentum 0", "a momentum above 0")
    for name, choices in _CHOICES.items():
        if name in options and options[name] not in choices:
            _refuse(optimizer, name, repr(options[name]), ", ".join(choices))


def _refuse(optimizer: str, name: str, given: object, allowed: str) -> None:
    raise TrainError(f"{optimizer}: {name}: got {given}; allowed: {allowed}")
