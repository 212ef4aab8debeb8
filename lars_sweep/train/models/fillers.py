"""Initial weights, in Caffe's terms, as a function of (seed, parameter name) only."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Constant:
    """Every element has one value."""

    value: float

    def fill(self, parameter: Tensor, generator: torch.Generator | None) -> None:
        """Fill in place."""
        parameter.fill_(self.value)


@dataclass(frozen=True, slots=True)
class Gaussian:
    """N(0, std²)."""

    std: float

    def fill(self, parameter: Tensor, generator: torch.Generator | None) -> None:
        """Fill in place."""
        parameter.normal_(0, self.std, generator=generator)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform on [−bound, bound]."""

    bound: float

    def fill(self, parameter: Tensor, generator: torch.Generator | None) -> None:
        """Fill in place."""
        parameter.uniform_(-self.bound, self.bound, generator=generator)


Filler = Constant | Gaussian | Uniform
Fillers = dict[str, Filler]
"""Filler of each parameter, by the parameter's name."""


def fan_in(weight: Tensor) -> int:
    """Inputs of one output: in_channels/groups·kernel area, or in_features."""
    return weight[0].numel()


def he(weight: Tensor) -> Gaussian:
    """He et al. (2015); Caffe's ``msra`` filler with its default, the fan-in."""
    return Gaussian(math.sqrt(2 / fan_in(weight)))


def xavier(weight: Tensor) -> Uniform:
    """Caffe's ``xavier`` filler, which scales by the fan-in alone."""
    return Uniform(math.sqrt(3 / fan_in(weight)))


def with_he_weights(model: nn.Module, fillers: Mapping[str, Filler]) -> Fillers:
    """The He control: other weights, the same biases and BatchNorm parameters.

    Zero biases would add LARS's zero-norm rule to what the control compares.
    """
    weights = {name: he(p) for name, p in model.named_parameters() if p.ndim > 1}
    return {**fillers, **weights}


@torch.no_grad()
def fill(model: nn.Module, fillers: Mapping[str, Filler], seed: int | None) -> None:
    """Draw the named parameters; each from a generator of its own when there is a seed."""
    parameters = dict(model.named_parameters())
    for name, filler in fillers.items():
        generator = None if seed is None else named_generator(seed, name)
        filler.fill(parameters[name], generator)


def named_generator(seed: int, name: str) -> torch.Generator:
    """A CPU generator for one purpose."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
