"""Dropout whose masks do not depend on the machine."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from lars_sweep.data import splitmix64
from lars_sweep.errors import TrainError
from lars_sweep.train.atoms import Atoms, group_size

_MASK64 = 2**64 - 1
_GOLDEN = 0x9E3779B97F4A7C15


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
        threshold = round(self.p * 2**32) - 2**31
        if x.device.type == "cpu" and not torch.compiler.is_compiling():
            first = int(self.first_group) * size
            kept = torch.from_numpy(_kept(int(self.key), first, n, units, threshold))
        else:
            samples = self.first_group * size + torch.arange(n, device=x.device)
            row_keys = _mix64(samples * _signed(_GOLDEN) + self.key).to(torch.int32)
            unit_keys = _mix32(torch.arange(units, dtype=torch.int32, device=x.device))
            kept = _mix32(row_keys[:, None] ^ unit_keys) >= threshold
        return kept.to(x.dtype).mul_(1 / (1 - self.p)).view(x.shape)

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


def _mix64(z: Tensor) -> Tensor:
    """The finaliser of splitmix64 on int64; shifts are arithmetic in torch, hence the masks."""
    z = (z ^ ((z >> 30) & (2**34 - 1))) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ ((z >> 27) & (2**37 - 1))) * _signed(0x94D049BB133111EB)
    return z ^ ((z >> 31) & (2**33 - 1))


def _mix32(x: Tensor) -> Tensor:
    """A bijective 32-bit mixer (constants: Wellons, "lowbias32") on int32, in place."""
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    x *= 0x7FEB352D
    x ^= (x >> 15).bitwise_and_(0x1FFFF)
    x *= 0x846CA68B - 2**32
    x ^= (x >> 16).bitwise_and_(0xFFFF)
    return x


def _kept(key: int, first: int, n: int, units: int, threshold: int) -> NDArray[np.uint8]:
    """(n, units) the same mask in numpy: unsigned integers and short calls, in a third of the time.

    Args:
        key: int64, of the layer and the step.
        first: number of the first sample within the step.
        n: samples.
        units: of each sample.
        threshold: int32 from which on a word keeps its unit.
    """
    rows = splitmix64((key - _GOLDEN) & _MASK64, np.arange(first, first + n)).astype(np.uint32)
    words = rows[:, None] ^ _unit_words(units)
    # The last shift leaves the upper half alone, which alone counts where p = 1/2.
    _mix_words(words, last=threshold % 2**16 > 0)
    # Torch turns bytes into floats three times as fast as booleans.
    return (words.view(np.int32) >= threshold).view(np.uint8)


@lru_cache(maxsize=16)
def _unit_words(units: int) -> NDArray[np.uint32]:
    words = np.arange(units, dtype=np.uint32)
    _mix_words(words, last=True)
    return words


def _mix_words(words: NDArray[np.uint32], *, last: bool) -> None:
    """`_mix32`, with or without its last shift."""
    words ^= words >> 16
    words *= 0x7FEB352D
    words ^= words >> 15
    words *= 0x846CA68B
    if last:
        words ^= words >> 16
