"""The two passes of a LARS step over float32 memory of the CPU, compiled by numba.

numba brings its own compiler, so that a default install has them; compiling takes about a second
when a process first needs them. They read ahead of what they work on: hardware alone does so only
within pages of 4 KiB, which leaves a fifth of the memory's bandwidth unused. C chunks of memory are
given by addresses (C,) int64 and lengths (C,) int64 in elements. Each kernel does the chunks from
``start`` to ``stop`` and lets other threads run meanwhile.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

BLOCK = 256
"""Elements read ahead, and whose float32 squares are added at once (relative error 1e-7)."""
LINE = 16
"""Elements of a cache line."""


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(_context: Any, _address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(_context: Any, _address: Any) -> Any:
    """Ask for the cache line at an address, which may lie beyond any memory."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, i32, i32, i32])
        )
        read, all_caches, data = i32(0), i32(3), i32(1)
        builder.call(function, [builder.inttoptr(arguments[0], pointer), read, all_caches, data])
        return context.get_dummy_value()

    return types.void(types.int64), generate


def _square(x: Any) -> Any:
    total = np.float32(0)
    for k in range(x.size):
        total += x[k] * x[k]
    return np.float64(total)


def _squares(addresses: Any, lengths: Any, sums: Any, start: int, stop: int) -> None:
    for i in range(start, stop):
        at, total = addresses[i], 0.0
        x = carray(_pointer(at), (lengths[i],))
        for j in range(0, x.size, BLOCK):
            for k in range(j + BLOCK, j + 2 * BLOCK, LINE):
                _prefetch(at + 4 * k)
            total += _block_square(x[j : j + BLOCK])
        sums[i] = total


def _steps(
    weights: Any,
    gradients: Any,
    buffers: Any,
    lengths: Any,
    rates: Any,
    constants: Any,
    sums: Any,
    start: int,
    stop: int,
) -> None:
    momentum, decay, outer = constants[0], constants[1], constants[2]
    for i in range(start, stop):
        n, rate, total = lengths[i], rates[i], 0.0
        at_w, at_g, at_v = weights[i], gradients[i], buffers[i]
        w, g = carray(_pointer(at_w), (n,)), carray(_pointer(at_g), (n,))
        v = carray(_pointer(at_v), (n,))
        for j in range(0, n, BLOCK):
            for k in range(j + BLOCK, j + 2 * BLOCK, LINE):
                _prefetch(at_w + 4 * k)
                _prefetch(at_g + 4 * k)
                _prefetch(at_v + 4 * k)
            a, b, c = w[j : j + BLOCK], g[j : j + BLOCK], v[j : j + BLOCK]
            for k in range(a.size):
                x = momentum * c[k] + rate * (b[k] + decay * a[k])
                c[k] = x
                a[k] = a[k] - outer * x
            total += _block_square(a)
        sums[i] = total


def _peek(addresses: Any, values: Any) -> None:
    for i in range(addresses.size):
        values[i] = carray(_pointer(addresses[i]), (1,))[0]


# Sums may be reordered and products fused with them; infinities and NaNs keep their meaning.
_FAST = {"reassoc", "contract"}
_I, _F, _D = "int64[::1]", "float32[::1]", "float64[::1]"
_block_square = njit(nogil=True, fastmath=_FAST)(_square)
squares = njit(f"void({_I},{_I},{_D},int64,int64)", nogil=True, fastmath=_FAST)(_squares)
"""(addresses, lengths, sums out, start, stop): Σx² of each chunk, (C,) float64."""
steps = njit(f"void({_I},{_I},{_I},{_I},{_F},{_F},{_D},int64,int64)", nogil=True, fastmath=_FAST)(
    _steps
)
"""(weights, gradients, buffers, lengths, rates, (m, β, b), sums out, start, stop): in each chunk
v ← m·v + a·(g + βw), w ← w − b·v with its rate a; Σw² of what was written as `squares` gives it."""
peek = njit(f"void({_I},{_F})", nogil=True)(_peek)
"""(addresses, values out): the element at each address."""
