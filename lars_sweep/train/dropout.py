"""Dropout whose masks do not depend on the machine."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lars_sweep.errors import TrainError
from lars_sweep.train.atoms import Atoms, group_size

_MASK64 = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15

_Words = Any
"""Integers that wrap around: a tensor on any device, or an array of numpy's on the CPU."""


class GroupDropout(nn.Module):
    """Dropout whose mask is a function of (seed, step, layer, sample of the step, unit).

    The mask is a counter-based hash, not a draw: no generator, no state, equal bits on every
    device, in every micro-batching and on any number of ranks. Without atoms it is `F.dropout`.
    """

    key: Tensor
    first_group: Tensor

    def __init__(self, p: float = 0.5, *, layer: int = 0) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise TrainError(f"GroupDropout: p: got {p}; allowed: 0 <= p < 1")
        self.p, self.layer = p, layer
        self.groups: int | None = None
        # Tensors, so that a compiled step does not recompile when the step number changes.
        self.register_buffer("key", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("first_group", torch.zeros((), dtype=torch.int64), persistent=False)

    def begin(self, atoms: Atoms) -> None:
        """Take the masks of these groups next."""
        self.key.fill_(_signed(_hash(atoms.seed, atoms.step, self.layer)))
        self.first_group.fill_(atoms.first_group)

    def forward(self, x: Tensor) -> Tensor:
        """Zero units of ``x`` (N, ...) with probability p and scale the others by 1/(1−p)."""
        if not self.training or self.p == 0:
            return x
        if self.groups is None:
            return F.dropout(x, self.p, training=True)
        return x * self._mask(x, self.groups)

    @torch.no_grad()
    def _mask(self, x: Tensor, groups: int) -> Tensor:
        n, size, units = len(x), group_size(x, groups), x[0].numel()
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            # Small operations, which cost numpy a quarter of torch's time.
            first = int(self.first_group) * size
            row_keys = _row_keys(np.arange(first, first + n), int(self.key)).astype(np.int32)
            bits = torch.from_numpy(_mix32(row_keys[:, None] ^ _unit_keys(units)))
        else:
            samples = torch.arange(n, device=x.device) + self.first_group * size
            row_keys = _row_keys(samples, self.key).to(torch.int32)
            unit_keys = _mix32(torch.arange(units, dtype=torch.int32, device=x.device))
            bits = _mix32(row_keys[:, None] ^ unit_keys)
        threshold = round(self.p * 2**32) - 2**31
        return (bits >= threshold).to(x.dtype).mul_(1 / (1 - self.p)).view(x.shape)

    def reset_buffers(self) -> None:
        """Set every buffer to its initial value, as after ``to_empty``."""
        self.key.zero_()
        self.first_group.zero_()

    def extra_repr(self) -> str:
        """What ``print(model)`` shows."""
        return f"p={self.p}, layer={self.layer}"


def _hash(*words: int) -> int:
    """A 64-bit hash of integers (splitmix64, chained)."""
    state = 0
    for word in words:
        z = (state + word + _GOLDEN) & _MASK64
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK64
        state = z ^ (z >> 31)
    return state


def _signed(word: int) -> int:
    """The int64 with the bits of an unsigned 64-bit word."""
    return word - 2**64 if word >= 2**63 else word


@lru_cache(maxsize=16)
def _unit_keys(units: int) -> NDArray[np.int32]:
    keys: NDArray[np.int32] = _mix32(np.arange(units, dtype=np.int32))
    keys.setflags(write=False)
    return keys


def _row_keys(samples: _Words, key: int | Tensor) -> _Words:
    """(n,) words of (n,) sample numbers, both int64: splitmix64 with the key as its state."""
    z = samples * _signed(_GOLDEN) + key
    # Shifts are arithmetic, hence the masks.
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        high = z >> shift
        high &= 2 ** (64 - shift) - 1
        z ^= high
        z *= _signed(factor)
    return z


def _mix32(x: _Words) -> _Words:
    """A bijective 32-bit mixer (constants: Wellons, "lowbias32") on int32, in place."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32), (16, 1)):
        high = x >> shift
        high &= 2 ** (32 - shift) - 1
        x ^= high
        if factor != 1:
            x *= factor
    return x
