"""Edges of the good-LR interval with their confidence, for many replicates of a design at once.

Two families, split parabola and flat top, are averaged on their tail areas (Turek and Fletcher
2012), with Akaike weights at the replicate sigma. The accuracy edge is then combined with the LR
where divergence takes over: the edge is the smaller of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from lars_sweep.fit.distributions import chi2_quantile
from lars_sweep.fit.divergence import takeover_deviance
from lars_sweep.fit.flat_top import EdgeProfiles, parabolic_minimum, upper_edge_profiles
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.sigma import Spread, spread

Family = Literal["flat", "split"]

FORM_ERROR = 0.04
"""Both families are parabolas: true near the plateau, approximate far below it. A cell at depth d
below the best is allowed an error of form of this share of d, times sqrt(d/delta): 4 % at depth
delta, while cells far down only bracket the edge."""
# Akaike criterion of the families: 2 per parameter, but 1 for the width of the plateau, which is
# bounded at 0: there the expected gain from noise is half as large (a mixture of chi² 0 and 1).
_PENALTY: dict[Family, float] = {"flat": 9.0, "split": 8.0}
# Deviance of what cannot be.
_EXCLUDED = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Replicates of one LR grid: accuracies (R, n, r) with NaN for seeds that did not finish."""

    x: FloatArray
    """log2 LR (n,), ascending."""
    samples: FloatArray
    diverged: FloatArray
    """Number of diverged seeds (R, n)."""

    @property
    def ok(self) -> FloatArray:
        """Finished seeds (R, n)."""
        return np.asarray(np.sum(np.isfinite(self.samples), axis=-1), dtype=np.float64)

    @property
    def mean(self) -> FloatArray:
        """Cell means (R, n); -inf where no seed finished."""
        count = self.ok
        total = np.nansum(self.samples, axis=-1)
        return np.where(count > 0, total / np.maximum(count, 1.0), -np.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Both edges of every replicate, log2 LR; infinite where a limit was not found."""

    low: FloatArray
    """Estimates of the lower edge (R,)."""
    low_limits: FloatArray
    """95 % limits of the lower edge (R, 2)."""
    high: FloatArray
    high_limits: FloatArray
    plateau: FloatArray
    """Height A of the flat top (R,)."""
    plateau_se: FloatArray
    """Its standard error (R,), from its profile over one unit of deviance."""


def find_edges(
    design: Design,
    delta: float,
    *,
    sigma: float | None = None,
    step: float,
    level: float = 0.95,
    families: tuple[Family, ...] = ("flat", "split"),
    form_error: float = FORM_ERROR,
) -> Edges:
    """Estimate both edges and their limits.

    Args:
        design: at least one finished seed per replicate and, unless ``sigma`` is given, replicate
            seeds (`sigma.MINIMUM_NU`).
        delta: depth of the edges below the plateau, points.
        sigma: standard deviation of one seed, if the user states it.
        step: resolution of the search, octaves.
        level: confidence of each edge's interval.
        families: curves that are averaged; one of them where the family is known.
        form_error: share of the depth by which they may be wrong, see `FORM_ERROR`.
    """
    noise = spread(design.samples, sigma, delta)
    weights = cell_weights(design, noise, delta, form_error)
    y = np.where(weights > 0, design.mean, 0.0)
    upper = upper_edge_profiles(design.x, y, weights, delta, step)
    lower = upper_edge_profiles(-design.x[::-1], y[:, ::-1], weights[:, ::-1], delta, step)
    never = np.append(np.full(len(design.x), _EXCLUDED), 0.0)
    nowhere = np.broadcast_to(never, (len(y), len(never)))
    takeover = takeover_deviance(*_divergence_above_best(design))
    high, high_limits = _limits(upper, families, noise.nu, takeover, design.x, level)
    low, low_limits = _limits(lower, families, noise.nu, nowhere, -design.x[::-1], level)
    plateau, plateau_se = _plateau(upper)
    return Edges(
        low=-low,
        low_limits=-low_limits[:, ::-1],
        high=high,
        high_limits=high_limits,
        plateau=plateau,
        plateau_se=plateau_se,
    )


def cell_weights(
    design: Design, noise: Spread, delta: float, form_error: float = FORM_ERROR
) -> FloatArray:
    """Inverse variances of the cell means (R, n), error of form included; 0 where none finished."""
    mean, ok = design.mean, design.ok
    depth = np.where(ok > 0, np.max(mean, axis=1, keepdims=True) - np.where(ok > 0, mean, 0.0), 0.0)
    form = (form_error * depth) ** 2 * depth / delta
    variance = noise.variance / np.maximum(ok, 1.0) + form
    return np.where(ok > 0, 1.0 / np.maximum(variance, 1e-12), 0.0)


def _divergence_above_best(design: Design) -> tuple[FloatArray, FloatArray]:
    """Diverged and all runs (R, n); below the best LR a divergence is no takeover: not counted."""
    above = np.arange(len(design.x)) >= np.argmax(design.mean, axis=1)[:, None]
    diverged = np.where(above, design.diverged, 0.0)
    return diverged, design.ok + diverged


def _averaged_cdf(
    profiles: EdgeProfiles, families: tuple[Family, ...], nu: FloatArray
) -> FloatArray:
    """Confidence that the edge lies below each position (R, E), averaged over the families."""
    cdfs, criteria = [], []
    for name in families:
        rss: FloatArray = getattr(profiles, name)
        best = np.minimum(parabolic_minimum(rss[:, :-1]), rss[:, -1])
        root = np.sqrt(np.maximum(rss - best[:, None], 0.0))
        side = np.sign(np.arange(rss.shape[1]) - np.argmin(rss, axis=1)[:, None])
        cdfs.append(special.stdtr(nu[:, None], side * root))
        criteria.append(best + _PENALTY[name])
    criterion = np.stack(criteria)
    weight = np.exp(-0.5 * (criterion - criterion.min(axis=0)))
    weight /= weight.sum(axis=0)
    return np.asarray(np.sum(weight[..., None] * np.stack(cdfs), axis=0))


def _limits(
    profiles: EdgeProfiles,
    families: tuple[Family, ...],
    nu: FloatArray,
    takeover: FloatArray,
    x: FloatArray,
    level: float,
) -> tuple[FloatArray, FloatArray]:
    """Estimate (R,) and limits (R, 2) of the smaller of accuracy edge and divergence takeover."""
    edges = profiles.edges
    cdf = _averaged_cdf(profiles, families, nu)
    accuracy = special.ndtri(np.clip(cdf, 1e-15, 1.0 - 1e-15)) ** 2
    takeover_at = takeover[:, np.searchsorted(x, edges)]
    deviance = _smaller_of_two(accuracy, takeover_at)
    limit = chi2_quantile(level, 1)
    mirrored = (deviance[:, ::-1], takeover_at[:, ::-1], -edges[::-1], -x[::-1])
    bounds = np.stack(
        [-_outer_end(*mirrored, limit), _outer_end(deviance, takeover_at, edges, x, limit)],
        axis=-1,
    )
    median = _crossing(cdf, edges, 0.5)
    estimate = np.minimum(median, _takeover_point(takeover, x))
    return np.where(estimate <= x[-1], estimate, np.inf), bounds


def _smaller_of_two(accuracy: FloatArray, takeover: FloatArray) -> FloatArray:
    """Deviance of ``min(accuracy edge, takeover) = e`` when the two are independent (R, E)."""
    accuracy_beyond = np.minimum.accumulate(accuracy[:, ::-1], axis=1)[:, ::-1]
    takeover_beyond = np.minimum.accumulate(takeover[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(accuracy + takeover_beyond, takeover + accuracy_beyond)


def _outer_end(
    deviance: FloatArray, jumps: FloatArray, edges: FloatArray, x: FloatArray, limit: float
) -> FloatArray:
    """Outermost position (R,) to the right where the deviance is still below the limit.

    ``jumps`` is the part of the deviance that changes only at LRs that were run: an end that it
    alone makes lies exactly there. Infinite where there is no end on the grid of LRs.
    """
    inside = deviance <= limit
    last = deviance.shape[1] - 1 - np.argmax(inside[:, ::-1], axis=1)
    after = np.minimum(last + 1, deviance.shape[1] - 1)
    rows = np.arange(len(deviance))
    here = deviance[rows, last]
    there = deviance[rows, after] - (jumps[rows, after] - jumps[rows, last])
    rise = np.where(there > here, there - here, 1.0)
    with np.errstate(invalid="ignore"):
        crossing = edges[last] + (limit - here) / rise * (edges[after] - edges[last])
    next_lr = x[np.minimum(np.searchsorted(x, edges[last], side="right"), len(x) - 1)]
    end = np.where(there <= limit, next_lr, crossing)
    found = inside.any(axis=1) & ~inside[:, -1] & (end <= x[-1])
    return np.where(found, end, np.inf)


def _crossing(cdf: FloatArray, edges: FloatArray, at: float) -> FloatArray:
    """First position (R,) where the cdf reaches a value, interpolated; infinite if at no edge."""
    after = np.argmax(cdf >= at, axis=1)
    before = np.maximum(after - 1, 0)
    rows = np.arange(len(cdf))
    low, high = cdf[rows, before], cdf[rows, after]
    rise = np.where(high > low, high - low, 1.0)
    with np.errstate(invalid="ignore"):
        position = edges[before] + (at - low) / rise * (edges[after] - edges[before])
    return np.where(cdf.max(axis=1) >= at, position, np.inf)


def _plateau(profiles: EdgeProfiles) -> tuple[FloatArray, FloatArray]:
    """Height of the plateau and its standard error, both (R,).

    The error is half the width of the set of deviance at most 1, the height its middle: the profile
    is a parabola but for kinks where a cell leaves the plateau.
    """
    rise = profiles.level_rss - np.min(profiles.level_rss, axis=1, keepdims=True)
    high = _first_above(rise, profiles.levels, np.argmin(rise, axis=1))
    low = -_first_above(rise[:, ::-1], -profiles.levels[:, ::-1], np.argmin(rise[:, ::-1], axis=1))
    return 0.5 * (low + high), 0.5 * (high - low)


def _first_above(rise: FloatArray, at: FloatArray, start: FloatArray) -> FloatArray:
    """First position (R,) after ``start`` where ``rise`` (R, L) passes 1, interpolated."""
    rows = np.arange(len(rise))
    passed = (np.arange(rise.shape[1]) > start[:, None]) & (rise > 1.0)
    passed[:, -1] = True  # the search always reaches this far; a floor for degenerate profiles
    after = np.argmax(passed, axis=1)
    before = after - 1
    climb = rise[rows, after] - rise[rows, before]
    share = np.minimum((1.0 - rise[rows, before]) / np.where(climb > 0, climb, np.inf), 1.0)
    return np.asarray(at[rows, before] + share * (at[rows, after] - at[rows, before]))


def _takeover_point(takeover: FloatArray, x: FloatArray) -> FloatArray:
    """Most likely takeover (R,): half-way between the LRs around it, infinite if after the last."""
    middle = np.concatenate([[x[0]], 0.5 * (x[1:] + x[:-1]), [np.inf]])
    best = np.min(takeover, axis=1, keepdims=True)
    last = takeover.shape[1] - 1 - np.argmax((takeover <= best + 1e-9)[:, ::-1], axis=1)
    return np.asarray(middle[last])
