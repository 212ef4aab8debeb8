"""The noise between seeds: pooled over cells near the best one, shrunk where it is not equal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lars_sweep.fit.linear import FloatArray

MINIMUM_NU = 3
"""Fewer degrees of freedom than this give no sigma."""
NEAR = 5.0
"""Cells within so many deltas of the best mean say what the noise is: far from a plateau, where
training is about to fail, seeds scatter by many points."""
_PRIOR_NU = 4.0
_UNEQUAL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Noise of every cell, for many replicates of one design."""

    variance: FloatArray
    """Variance of one seed (R, n)."""
    nu: FloatArray
    """Degrees of freedom behind the variances (R,); infinite where sigma was given."""
    pooled: FloatArray
    """Pooled variance (R,), NaN without replicate seeds."""
    unequal_p: FloatArray
    """p value of Brown and Forsythe's test of equal variances (R,), NaN where it has no cells."""


def brown_forsythe(samples: FloatArray) -> FloatArray:
    """P value of equal spread over cells of three or more seeds; samples (R, n, r) with NaN."""
    usable = np.sum(np.isfinite(samples), axis=-1) >= 3
    values = np.where(usable[..., None], samples, np.nan)
    if not usable.any():
        return np.full(len(samples), np.nan)
    centre = _row_median(values)
    z = np.abs(values - centre[..., None])
    n = np.sum(np.isfinite(z), axis=-1).astype(np.float64)
    cell_mean = np.nansum(z, axis=-1) / np.maximum(n, 1.0)
    total, groups = n.sum(axis=-1), usable.sum(axis=-1)
    grand = np.nansum(z, axis=(-1, -2)) / np.maximum(total, 1.0)
    between = np.sum(n * (cell_mean - grand[:, None]) ** 2, axis=-1)
    within = np.nansum((z - cell_mean[..., None]) ** 2, axis=(-1, -2))
    dof = np.maximum(groups - 1.0, 1.0), np.maximum(total - groups, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (between / dof[0]) / (within / dof[1])
    p = stats.f.sf(ratio, *dof)
    return np.where((groups >= 2) & (within > 0), p, np.nan)


def _row_median(values: FloatArray) -> FloatArray:
    """Median over the last axis ignoring NaN, NaN where there is none."""
    ordered = np.sort(values, axis=-1)
    n = np.sum(np.isfinite(values), axis=-1)
    low = np.take_along_axis(ordered, np.maximum((n - 1) // 2, 0)[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(
        ordered, np.minimum(n // 2, values.shape[-1] - 1)[..., None], axis=-1
    )[..., 0]
    return np.where(n > 0, 0.5 * (low + high), np.nan)


def near_best(mean: FloatArray, own: FloatArray, delta: float) -> FloatArray:
    """Cells whose noise is that of the plateau (R, n), as booleans.

    Those within `NEAR` deltas of the best mean, and as many of the next best ones as `MINIMUM_NU`
    degrees of freedom take.

    Args:
        mean: cell means (R, n); anything where no seed finished.
        own: degrees of freedom of each cell (R, n).
        delta: depth of the edges below the plateau, points.
    """
    known = np.where(own > 0, mean, -np.inf)
    order = np.argsort(-known, axis=-1, kind="stable")
    before = np.cumsum(np.take_along_axis(own, order, axis=-1), axis=-1)
    needed = np.zeros(known.shape, dtype=bool)
    np.put_along_axis(
        needed,
        order,
        before - np.take_along_axis(own, order, axis=-1) < MINIMUM_NU,
        axis=-1,
    )
    top = np.max(known, axis=-1, keepdims=True, initial=-np.inf)
    return np.asarray((own > 0) & (needed | (known >= top - NEAR * delta)))


def spread(samples: FloatArray, sigma: float | None, delta: float) -> Spread:
    """Estimate the noise of every cell.

    Cells near the best one (`near_best`) share their pooled variance if their spread is equal
    (Brown-Forsythe p >= 0.05). Else a cell's own variance is shrunk towards it with the weight of
    four degrees of freedom, and the intervals rest on that plus the cell's own number. A cell
    further down has its own variance where that is larger.

    Args:
        samples: accuracies (R, n, r); NaN where a seed is missing.
        sigma: a standard deviation that the user states; it replaces the estimate.
        delta: depth of the edges below the plateau, points.
    """
    replicates, n = samples.shape[:2]
    count = np.sum(np.isfinite(samples), axis=-1).astype(np.float64)
    mean = np.nansum(samples, axis=-1) / np.maximum(count, 1.0)
    every = np.nansum((samples - mean[..., None]) ** 2, axis=-1)
    near = near_best(mean, np.maximum(count - 1.0, 0.0), delta)
    own = np.where(near, count - 1.0, 0.0)
    squares = np.where(near, every, 0.0)
    nu = own.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.where(nu > 0, squares.sum(axis=-1) / nu, np.nan)
    p = brown_forsythe(np.where(near[..., None], samples, np.nan))
    if sigma is not None:
        return Spread(
            variance=np.full((replicates, n), sigma**2),
            nu=np.full(replicates, math.inf),
            pooled=pooled,
            unequal_p=p,
        )
    shrunk = (_PRIOR_NU * pooled[:, None] + squares) / (_PRIOR_NU + own)
    unequal = np.where(np.isfinite(p), p, 1.0) < _UNEQUAL
    typical = _PRIOR_NU + nu / np.maximum(np.sum(own > 0, axis=-1), 1)
    shared = np.where(unequal[:, None], shrunk, pooled[:, None])
    scattered = np.where(near, 0.0, every / np.maximum(count - 1.0, 1.0))
    return Spread(
        variance=np.maximum(shared, scattered),
        nu=np.where(unequal, np.minimum(nu, typical), nu),
        pooled=pooled,
        unequal_p=p,
    )
