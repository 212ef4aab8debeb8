"""Random numbers as functions of what they are for: no state, so nothing to save or restore.

PROTOCOL.md 5: everything random is a function of (seed, what for, step or epoch, position).
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def random_key(seed: int, purpose: str, *numbers: int) -> int:
    """A key in 0 … 2⁶⁴−1, independent for every (seed, purpose, numbers).

    The first 8 bytes of sha256 over the text ``purpose:seed:number:…``; fit to seed any generator.

    Args:
        seed: the trial's seed.
        purpose: what the numbers are for, as in ``"dropout"``.
        numbers: epoch, step, group, layer: whatever tells one draw from another.
    """
    text = ":".join((purpose, *(str(int(number)) for number in (seed, *numbers))))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def splitmix64(key: int, index: npt.ArrayLike) -> npt.NDArray[np.uint64]:
    """Outputs number ``index`` (from 0) of the SplitMix64 generator that is seeded with ``key``.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (2014). Outputs of one
    key at different indices are never equal: the finaliser is a bijection of 64-bit words.

    Args:
        key: 0 … 2⁶⁴−1, as from `random_key`.
        index: non-negative integers, any shape.

    Returns:
        uint64 of the shape of ``index``.
    """
    z = np.atleast_1d(np.asarray(index)).astype(np.uint64)  # a fresh copy: changed in place below
    z += np.uint64(1)
    z *= _GOLDEN
    z += np.uint64(key)
    z ^= z >> np.uint64(30)
    z *= _MIX_1
    z ^= z >> np.uint64(27)
    z *= _MIX_2
    z ^= z >> np.uint64(31)
    return z.reshape(np.shape(index))


def epoch_order(seed: int, epoch: int, samples: int) -> npt.NDArray[np.int64]:
    """The order in which one epoch visits the training part: a permutation of 0 … samples−1.

    Training sample k of a trial is ``epoch_order(seed, k // N, N)[k % N]`` (PROTOCOL.md 2).

    Returns:
        (samples,) int64: argsort of SplitMix64 under the key of (seed, ``"order"``, epoch).
    """
    return np.argsort(splitmix64(random_key(seed, "order", epoch), np.arange(samples)))
