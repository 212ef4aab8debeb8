"""Profiles of the edges of the good-LR interval, for many replicates at once.

The curve is ``f(x) = A - kL max(0, xL - x)**2 - kR max(0, x - xR)**2`` in x = log2 LR; its upper
edge is ``e = xR + sqrt(delta/kR)``, so that at a given e ``kR = delta/(e - xR)**2``. With A fixed
the two sides share no datum: each is maximised on its own over its knot, which turns a search over
four parameters into running maxima over one. A itself runs over a grid that is centred and scaled
on the data. The split parabola is the case xL = xR.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.linear import FloatArray

# Cells of the largest temporary array; 2 million doubles stay inside the cache of most machines.
_CHUNK = 2_000_000
_LEVELS = 25
# Plateau heights whose best RSS is further than this (in units of variance) from the optimum are
# not searched: no interval in use looks beyond a deviance of 11.
_REACH = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeProfiles:
    """Profiles of the upper edge under both families, RSS in units of weight 1."""

    edges: FloatArray
    """Positions tried (E,), ascending, log2 LR; the last, inf, stands for no edge (kR = 0)."""
    flat: FloatArray
    """Smallest RSS of the flat top with its edge there (R, E)."""
    split: FloatArray
    """The same of the split parabola (R, E)."""
    levels: FloatArray
    """Heights A of the plateau that were tried (R, L), ascending and even."""
    level_rss: FloatArray
    """Smallest RSS of the flat top with its plateau there (R, L)."""


@dataclass(frozen=True, slots=True)
class _Side:
    """Sums over one side: ``T = level * slope - intercept`` and ``Q``, each (R, knots)."""

    slope: FloatArray
    intercept: FloatArray
    square: FloatArray

    @classmethod
    def of(cls, drop: FloatArray, y: FloatArray, w: FloatArray) -> _Side:
        return cls(w @ drop.T, (w * y) @ drop.T, w @ (drop * drop).T)

    def cross(self, level: FloatArray) -> FloatArray:
        """``sum w (A - y) drop`` (R, levels, knots)."""
        return level[:, :, None] * self.slope[:, None, :] - self.intercept[:, None, :]

    def free_gain(self, cross: FloatArray) -> FloatArray:
        """Fall of the RSS with the best curvature k >= 0 (R, levels, knots)."""
        square = self.square[:, None, :]
        safe = np.where(square > 0, square, 1.0)
        return np.where(square > 0, np.maximum(cross, 0.0) ** 2 / safe, 0.0)


def upper_edge_profiles(
    x: FloatArray, y: FloatArray, weights: FloatArray, delta: float, step: float
) -> EdgeProfiles:
    """Profile the upper edge.

    Args:
        x: log2 LR of the cells (n,), ascending.
        y: cell means (R, n), any finite value where the weight is 0.
        weights: inverse variances (R, n); at least one positive per replicate.
        delta: depth of the edge below the plateau, in units of y.
        step: resolution of knots and edges, octaves.
    """
    knots = np.arange(x[0], x[-1] + step / 2, step)
    edges = np.append(np.arange(x[0] + step / 2, x[-1] + 1.0, step), np.inf)
    left = np.maximum(0.0, knots[:, None] - x) ** 2
    right = np.maximum(0.0, x - knots[:, None]) ** 2
    top = np.max(np.where(weights > 0, y, -np.inf), axis=1)
    size = max(1, _CHUNK // (_LEVELS * len(knots)))
    parts = []
    for i in range(0, len(y), size):
        chunk = slice(i, i + size)
        centred = np.where(weights[chunk] > 0, y[chunk] - top[chunk, None], 0.0)
        sides = _Side.of(left, centred, weights[chunk]), _Side.of(right, centred, weights[chunk])
        parts.append(_profiles(centred, weights[chunk], sides, knots, edges, delta))
    flat, split, levels, level_rss = (np.concatenate(part) for part in zip(*parts, strict=True))
    return EdgeProfiles(
        edges=edges, flat=flat, split=split, levels=levels + top[:, None], level_rss=level_rss
    )


def _base(level: FloatArray, y: FloatArray, w: FloatArray) -> FloatArray:
    """RSS of the constant ``level`` (R, levels)."""
    return np.asarray(np.sum(w[:, None, :] * (y[:, None, :] - level[:, :, None]) ** 2, axis=-1))


def _from_right(values: FloatArray) -> FloatArray:
    """Running maximum over the last axis, from its end."""
    return np.asarray(np.maximum.accumulate(values[..., ::-1], axis=-1)[..., ::-1])


def _levels(y: FloatArray, w: FloatArray, sides: tuple[_Side, _Side], delta: float) -> FloatArray:
    """Heights A worth searching (R, levels)."""
    unit = 1.0 / np.sqrt(np.max(w, axis=1, keepdims=True))
    low, high = -8.0 * unit, np.maximum(8.0 * unit, 2.0 * delta)
    for _ in range(2):
        level = low + (high - low) * np.linspace(0.0, 1.0, _LEVELS)
        rss = _level_rss(level, y, w, sides)
        near = rss <= np.min(rss, axis=1, keepdims=True) + _REACH
        pad = (high - low) / (_LEVELS - 1)
        low = np.min(np.where(near, level, np.inf), axis=1, keepdims=True) - pad
        high = np.max(np.where(near, level, -np.inf), axis=1, keepdims=True) + pad
    return np.asarray(low + (high - low) * np.linspace(0.0, 1.0, _LEVELS))


def _level_rss(
    level: FloatArray, y: FloatArray, w: FloatArray, sides: tuple[_Side, _Side]
) -> FloatArray:
    """Smallest RSS of the flat top at each height (R, levels)."""
    gains = [side.free_gain(side.cross(level)) for side in sides]
    best = np.max(np.maximum.accumulate(gains[0], axis=-1) + _from_right(gains[1]), axis=-1)
    return np.asarray(_base(level, y, w) - best)


def _profiles(
    y: FloatArray,
    w: FloatArray,
    sides: tuple[_Side, _Side],
    knots: FloatArray,
    edges: FloatArray,
    delta: float,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """RSS (R, E) of the flat top and of the split parabola; heights and their RSS (R, L)."""
    level = _levels(y, w, sides, delta)
    base = _base(level, y, w)
    left = sides[0].free_gain(sides[0].cross(level))
    left_best = np.maximum.accumulate(left, axis=-1)
    right = sides[1].cross(level)
    flat = np.empty((len(y), len(edges), level.shape[1]))
    split = np.empty_like(flat)
    for j, edge in enumerate(edges):
        m = int(np.searchsorted(knots, edge - 1e-9))
        curvature = delta / (edge - knots[:m]) ** 2
        penalty = curvature**2 * sides[1].square[:, :m]
        gain = 2.0 * curvature * right[..., :m] - penalty[:, None, :]
        split[:, j] = base - np.max(left[..., :m] + gain, axis=-1)
        flat[:, j] = base - np.max(left_best[..., :m] + _from_right(gain), axis=-1)
    rss = parabolic_minimum(flat), parabolic_minimum(split)
    return *rss, level, _level_rss(level, y, w, sides)


def parabolic_minimum(values: FloatArray) -> FloatArray:
    """Minimum over the last axis of samples of a smooth function on an even grid."""
    at = np.clip(np.argmin(values, axis=-1), 1, values.shape[-1] - 2)[..., None]
    before, here, after = (np.take_along_axis(values, at + i, axis=-1)[..., 0] for i in (-1, 0, 1))
    bend = before - 2.0 * here + after
    dip = np.where(bend > 0, (after - before) ** 2 / (8.0 * np.where(bend > 0, bend, 1.0)), 0.0)
    lowest = np.min(values, axis=-1)
    return np.where(here <= np.minimum(before, after), here - dip, lowest)
