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

# Cells of the largest temporary array: four of them stay inside a core's cache.
_CHUNK = 40_000
# Heights: with five times as many, 99 % of the edges' limits move by 0.002 octave at most, none by
# more than 0.01.
_LEVELS = 19
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
    """Sums over the cells on one side of each knot, each (K, R); levels are a last axis."""

    slope: FloatArray
    """``sum w drop``: with the level it makes ``cross``, ``sum w (A - y) drop``."""
    intercept: FloatArray
    """``sum w y drop``."""
    square: FloatArray
    """``sum w drop**2``."""

    @classmethod
    def of(cls, drop: FloatArray, y: FloatArray, w: FloatArray) -> _Side:
        return cls(drop @ w.T, drop @ (w * y).T, (drop * drop) @ w.T)

    def free_gain(self, level: FloatArray) -> FloatArray:
        """Fall of the RSS with the best curvature k >= 0 (K, R, levels)."""
        known = self.square > 0
        inverse = np.where(known, 1.0 / np.where(known, self.square, 1.0), 0.0)
        lines = np.stack([self.slope, -self.intercept], axis=-1).transpose(1, 0, 2)
        gain = np.empty((*known.shape, level.shape[1]))
        np.matmul(lines, _with_ones(level), out=gain.transpose(1, 0, 2))
        np.maximum(gain, 0.0, out=gain)
        gain *= gain
        gain *= inverse[..., None]
        return gain

    def bent_lines(self, curvature: FloatArray) -> FloatArray:
        """The same with given curvatures (E, K) as lines over the level (E, R, K, 2)."""
        k = curvature[..., None]
        offset = 2.0 * k * self.intercept + k**2 * self.square
        return np.stack([2.0 * k * self.slope, -offset], axis=-1).transpose(0, 2, 1, 3)


def _with_ones(level: FloatArray) -> FloatArray:
    """Levels (R, L) as what lines are multiplied with (R, 2, L).

    A product of matrices is five times faster than to multiply and subtract.
    """
    return np.stack([level, np.ones_like(level)], axis=1)


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
    left, right = (side.free_gain(level) for side in sides)
    # The best pair of knots i <= j: the left one never passes the right one.
    best = np.max(np.maximum.accumulate(left, axis=0) + right, axis=0)
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
    left = sides[0].free_gain(level)
    # split, whose knots are one, and flat, whose left knot is any up to the right one
    tops = np.stack([left, np.maximum.accumulate(left, axis=0)], axis=1)
    behind = edges[:, None] - knots
    ahead = behind > 1e-9
    lines = sides[1].bent_lines(np.where(ahead, delta / np.where(ahead, behind, 1.0) ** 2, 0.0))
    levels = _with_ones(level)
    rss = np.empty((2, len(edges), *level.shape))
    right, both = np.empty((len(knots), *level.shape)), np.empty_like(tops)
    for j, m in enumerate(np.count_nonzero(ahead, axis=1).tolist()):
        np.matmul(lines[j, :, :m], levels, out=right[:m].transpose(1, 0, 2))
        np.add(tops[:m], right[:m, None], out=both[:m])
        np.subtract(base, np.max(both[:m], axis=0), out=rss[:, j])
    split, flat = (parabolic_minimum(one.swapaxes(0, 1)) for one in rss)
    return flat, split, level, _level_rss(level, y, w, sides)


def parabolic_minimum(values: FloatArray) -> FloatArray:
    """Minimum over the last axis of samples of a smooth function on an even grid."""
    at = np.clip(np.argmin(values, axis=-1), 1, values.shape[-1] - 2)[..., None]
    before, here, after = (np.take_along_axis(values, at + i, axis=-1)[..., 0] for i in (-1, 0, 1))
    bend = before - 2.0 * here + after
    dip = np.where(bend > 0, (after - before) ** 2 / (8.0 * np.where(bend > 0, bend, 1.0)), 0.0)
    lowest = np.min(values, axis=-1)
    return np.where(here <= np.minimum(before, after), here - dip, lowest)
