"""Norms and momentum steps over large sets of float32 tensors in CPU memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import Parameter

CHUNK = 1 << 16
"""Elements that a thread takes at once; results do not depend on the number of threads."""
LEAST = 1 << 22
"""Elements of a set from which on the second that compiling takes is worth it."""

_Integers = npt.NDArray[np.int64]


def takes(tensors: Sequence[Tensor]) -> bool:
    """Whether these are many elements of float32, each tensor dense in an order of its own.

    Not where this thread may use fewer cores than torch has threads, as when OpenMP pins them:
    threads made here would share its core, while torch's have their own.
    """
    if torch.compiler.is_compiling() or sum(t.numel() for t in tensors) < LEAST:
        return False
    return len(os.sched_getaffinity(0)) >= torch.get_num_threads() and all(
        type(t) in (Tensor, Parameter)  # others may have no memory
        and t.dtype == torch.float32
        and t.device.type == "cpu"
        and t.numel() > 0
        and _is_dense(t)
        for t in tensors
    )


def norms(tensors: Sequence[Tensor]) -> Tensor:
    """‖t‖ of every tensor, (L,) float32."""
    from lars_sweep.train.optimizers import kernels

    layers, offsets, lengths = _chunks(tuple(t.numel() for t in tensors))
    squares = np.empty(len(layers))
    _in_parallel(lengths, kernels.squares, _addresses(tensors)[layers] + offsets, lengths, squares)
    return _by_tensor(squares, layers, len(tensors))


def step(
    params: Sequence[Tensor],
    grads: Sequence[Tensor],
    buffers: Sequence[Tensor],
    rates: Sequence[float],
    outer: float,
    *,
    momentum: float,
    weight_decay: float,
) -> Tensor:
    """Take v ← m·v + a·(g + βw), w ← w − b·v with a rate ``a`` per parameter, b = ``outer``.

    Each parameter has its gradient and its buffer in the same memory order.

    Returns:
        `norms` of the parameters as they are now, to the last bit.
    """
    from lars_sweep.train.optimizers import kernels

    layers, offsets, lengths = _chunks(tuple(p.numel() for p in params))
    squares = np.empty(len(layers))
    with np.errstate(over="ignore"):  # a diverged trial's rate may be infinite in float32
        rates_C = np.array(rates, np.float32)[layers]
    # Autograd must learn of it, as from any operator that writes in place; even if interrupted.
    torch.autograd.graph.increment_version([*params, *buffers])
    _in_parallel(
        lengths,
        kernels.steps,
        *(_addresses(tensors)[layers] + offsets for tensors in (params, grads, buffers)),
        lengths,
        rates_C,
        np.array([momentum, weight_decay, outer], np.float32),
        squares,
    )
    return _by_tensor(squares, layers, len(params))


def last_elements(tensors: Sequence[Tensor]) -> list[float]:
    """The element at the end of each tensor's memory."""
    from lars_sweep.train.optimizers import kernels

    values = np.empty(len(tensors), np.float32)
    kernels.peek(_addresses(tensors) + [4 * t.numel() - 4 for t in tensors], values)
    return values.tolist()


def _is_dense(tensor: Tensor) -> bool:
    if tensor.is_contiguous():
        return True
    return tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)


def _addresses(tensors: Sequence[Tensor]) -> _Integers:
    return np.array([t.data_ptr() for t in tensors], np.int64)


def _by_tensor(squares: npt.NDArray[np.float64], layers: _Integers, count: int) -> Tensor:
    sums = np.bincount(layers, weights=squares, minlength=count)
    return torch.from_numpy(np.sqrt(sums)).float()


@lru_cache(maxsize=8)
def _chunks(sizes: tuple[int, ...]) -> tuple[_Integers, _Integers, _Integers]:
    """Tensor, offset in bytes and length in elements of every chunk, each (C,)."""
    chunks = [
        (index, 4 * at, min(CHUNK, size - at))
        for index, size in enumerate(sizes)
        for at in range(0, size, CHUNK)
    ]
    tensors, offsets, lengths = np.array(chunks, np.int64).T.copy()
    return tensors, offsets, lengths


def _in_parallel(lengths: _Integers, kernel: Callable[..., None], *arrays: Any) -> None:
    """All chunks, in as many threads as torch has, each with about as many elements."""
    threads = torch.get_num_threads()
    ends = np.cumsum(lengths)
    shares = np.arange(1, threads) * (ends[-1] / threads)
    edges = [0, *np.searchsorted(ends, shares).tolist(), len(ends)]
    others: list[Future[None]] = []
    try:
        for start, stop in pairwise(edges[1:]):
            try:
                others.append(
                    _helpers(os.getpid(), threads - 1).submit(kernel, *arrays, start, stop)
                )
            except RuntimeError:  # the interpreter is shutting down
                kernel(*arrays, start, stop)
        kernel(*arrays, edges[0], edges[1])
    finally:
        wait(others)  # they read and write memory that the caller may free
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _helpers(_process: int, threads: int) -> ThreadPoolExecutor:
    # By process: threads do not survive a fork.
    return ThreadPoolExecutor(threads, thread_name_prefix="lars-sweep-host")
