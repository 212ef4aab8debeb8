"""Points of the planned strategies: functions of (sweep seed, stratum, index), nothing else."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from lars_sweep.spec.axes import Choices, Dimension, Range
from lars_sweep.spec.strata import Point, Stratum

DRAWN_DIGITS = 12
"""Few enough to be the same with every C library, enough that no two draws coincide."""


def stream_seed(sweep_seed: int, stratum: str, index: int) -> int:
    """A 64-bit seed of its own for every (sweep seed, stratum, index).

    A sampler that is rebuilt with one and the same seed would repeat its draws.
    """
    text = f"{sweep_seed}/{stratum}/{index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def planned_points(
    stratum: Stratum, strategy: Literal["grid", "random", "qmc"], n_points: int, sweep_seed: int
) -> Iterator[Point]:
    """The stratum's points in order; ``n_points`` counts for random and qmc only."""
    if strategy == "grid":
        yield from stratum.grid()
        return
    dimensions = stratum.dimensions
    for unit in _unit_cube(strategy, n_points, len(dimensions), sweep_seed, stratum.name):
        yield {d.name: _value(d, float(u)) for d, u in zip(dimensions, unit, strict=True)}


def _unit_cube(
    strategy: Literal["random", "qmc"], n_points: int, width: int, seed: int, stratum: str
) -> Sequence[np.ndarray]:
    """``n_points`` rows in [0, 1)^width; the first k rows do not depend on ``n_points``."""
    if strategy == "random":
        return [
            np.random.default_rng(stream_seed(seed, stratum, i)).random(width)
            for i in range(n_points)
        ]
    from scipy.stats import qmc

    sobol = qmc.Sobol(width, scramble=True, rng=stream_seed(seed, stratum, 0))
    # Powers of two keep Sobol's balance; the surplus is cut off.
    rows = sobol.random_base2(math.ceil(math.log2(max(2, n_points))))
    return list(rows[:n_points])


def _value(dimension: Dimension, u: float) -> object:
    """Map u in [0, 1) onto the dimension."""
    if isinstance(dimension, Choices):
        return dimension.values[min(int(u * len(dimension.values)), len(dimension.values) - 1)]
    return _in_range(dimension, u)


def _in_range(dimension: Range, u: float) -> float | int:
    low, high = float(dimension.low), float(dimension.high)
    end = high + 1 if dimension.integer else high
    value = low * (end / low) ** u if dimension.log else low + u * (end - low)
    if dimension.integer:
        return min(int(value), int(high))
    return min(max(low, float(f"{value:.{DRAWN_DIGITS}g}")), high)
