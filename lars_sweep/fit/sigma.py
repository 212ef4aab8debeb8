"""The noise between seeds: pooled over the calm cells near the best one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from lars_sweep.fit.linear import FloatArray

MINIMUM_NU = 3
"""Fewer degrees of freedom than this give no sigma."""
NEAR = 5.0
"""Cells within so many deltas of the best one say what the noise is: far from a plateau, where
training is about to fail, seeds scatter by many points."""
ROUNDING = 1e-20
"""Variance in squared points up to which seeds agree but for rounding: no noise to estimate."""
_OUTLYING = 0.01
"""Level of Cochran's test for one variance that is larger than the rest."""
_NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Noise of every cell, for many replicates of one design."""

    variance: FloatArray
    """Variance of one seed (R, n)."""
    nu: FloatArray
    """Degrees of freedom behind the variances (R,); infinite where sigma was given."""
    pooled: FloatArray
    """Pooled variance (R,), NaN without replicate seeds."""


def _t_quantile(own: FloatArray) -> FloatArray:
    """97.5 % quantile of Student's t for each cell's degrees of freedom (R, n), at least one."""
    few, at = np.unique(np.maximum(own, 1.0), return_inverse=True)
    return np.asarray(special.stdtrit(few, 0.975)[at].reshape(own.shape))


def near_best(
    mean: FloatArray, variance: FloatArray, own: FloatArray, delta: float
) -> npt.NDArray[np.bool_]:
    """Cells near the plateau (R, n), as booleans.

    Those within `NEAR` deltas of the height that a cell surely has, and as many of the best ones as
    `MINIMUM_NU` degrees of freedom take. That height is the largest lower limit of a cell's mean
    (97.5 %, from its own seeds). The largest mean would be too high: where seeds scatter by many
    points some cell lies above the plateau by chance, and would be near nothing but itself.

    Args:
        mean: cell means (R, n); anything where no seed finished.
        variance: sample variance of each cell (R, n); anything where ``own`` is 0.
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
    error = np.sqrt(np.where(own > 0, variance, 0.0) / (own + 1.0))
    top = np.max(known - _t_quantile(own) * error, axis=-1, keepdims=True, initial=-np.inf)
    return np.asarray((own > 0) & (needed | (known >= top - NEAR * delta)))


def calm(
    mean: FloatArray, variance: FloatArray, own: FloatArray, delta: float
) -> npt.NDArray[np.bool_]:
    """Cells whose noise is that of the plateau (R, n).

    Those of `near_best` less the ones that scatter more than the rest of them: Cochran's test of
    the largest variance, for up to half of the cells one after the other; all up to the last that
    it rejects go, as large ones hide one another (Rosner 1983). Three seeds of an LR where training
    may fail can end near the plateau by luck, but seldom close to one another.

    Args:
        mean: cell means (R, n); anything where no seed finished.
        variance: sample variance of each cell (R, n); anything where ``own`` is 0.
        own: degrees of freedom of each cell (R, n).
        delta: depth of the edges below the plateau, points.
    """
    cells = near_best(mean, variance, own, delta)
    left, rows = cells.copy(), np.arange(len(cells))
    for _ in range(cells.shape[1] // 2):
        nu = np.where(left, own, 0.0)
        scatter = np.where(left, variance, 0.0)
        worst = np.argmax(scatter, axis=1)
        largest, alone = scatter[rows, worst], nu[rows, worst]
        rest_nu = np.sum(nu, axis=1) - alone
        rest = (np.sum(nu * scatter, axis=1) - alone * largest) / np.maximum(rest_nu, 1.0)
        ratio = largest / np.where(rest > 0, rest, np.inf)
        p = special.fdtrc(np.maximum(alone, 1.0), np.maximum(rest_nu, 1.0), ratio)
        lost = (np.sum(left, axis=1) * p < _OUTLYING) & (rest_nu >= MINIMUM_NU)
        left[rows, worst] = False
        cells = np.where(lost[:, None], left, cells)
    return cells


def spread(samples: FloatArray, sigma: float | None, delta: float) -> Spread:
    """Estimate the noise of every cell.

    Cells of the plateau (`calm`) share their pooled variance. Any other has its own variance where
    that is larger, times ``(t/z)**2`` of the 97.5 % quantiles of Student's t for its degrees of
    freedom and of the normal distribution, as few seeds know it badly.

    Args:
        samples: accuracies (R, n, r); NaN where a seed is missing.
        sigma: a standard deviation that the user states; it replaces the estimate.
        delta: depth of the edges below the plateau, points.
    """
    replicates, n = samples.shape[:2]
    count = np.sum(np.isfinite(samples), axis=-1).astype(np.float64)
    mean = np.nansum(samples, axis=-1) / np.maximum(count, 1.0)
    own = np.maximum(count - 1.0, 0.0)
    squares = np.nansum((samples - mean[..., None]) ** 2, axis=-1)
    variance = squares / np.maximum(own, 1.0)
    cells = calm(mean, variance, own, delta)
    nu = np.sum(own, axis=-1, where=cells)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = np.where(nu > 0, np.sum(squares, axis=-1, where=cells) / nu, np.nan)
    if sigma is not None:
        return Spread(
            variance=np.full((replicates, n), sigma**2),
            nu=np.full(replicates, math.inf),
            pooled=pooled,
        )
    quantile = _t_quantile(own) / _NORMAL_95
    scattered = np.where(cells, 0.0, variance * quantile**2)
    return Spread(variance=np.maximum(pooled[:, None], scattered), nu=nu, pooled=pooled)
