"""How likely a run diverges at an LR: counts, their limits, and where divergence takes over.

P(diverge | log LR) is taken as non-decreasing and nothing else. The upper edge of a good interval
is cut where it passes 1/2: "any seed diverged" would cut 0.35 octave low in the median
(PROTOCOL.md 12).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from lars_sweep.fit.distributions import beta_quantile
from lars_sweep.fit.linear import FloatArray


def clopper_pearson_upper(diverged: float, runs: float, level: float = 0.95) -> float:
    """One-sided upper limit of a probability: 0 of 3 still allows 0.63, 0 of 10 allows 0.26."""
    if diverged >= runs:
        return 1.0
    return beta_quantile(level, diverged + 1.0, runs - diverged)


def clopper_pearson_lower(diverged: float, runs: float, level: float = 0.95) -> float:
    """One-sided lower limit of a probability."""
    if diverged <= 0:
        return 0.0
    return beta_quantile(1.0 - level, diverged, runs - diverged + 1.0)


def isotonic(diverged: FloatArray, runs: FloatArray) -> FloatArray:
    """Non-decreasing maximum-likelihood P (..., n) from counts (..., n), by the max-min formula.

    Cells without runs take a neighbour's value (0 where no cell has runs).
    """
    if diverged.shape[-1] == 0:
        return diverged
    return np.asarray(_fits_from(_window_means(diverged, runs))[..., 0, :])


def _window_means(diverged: FloatArray, runs: FloatArray) -> FloatArray:
    """Share of diverged runs in cells a..b (..., n, n), NaN without runs or where b < a."""
    n = diverged.shape[-1]
    zero = np.zeros((*diverged.shape[:-1], 1))
    hits = np.concatenate([zero, np.cumsum(diverged, axis=-1)], axis=-1)
    total = np.concatenate([zero, np.cumsum(runs, axis=-1)], axis=-1)
    count = total[..., None, 1:] - total[..., :-1, None]
    known = np.triu(np.ones((n, n), dtype=bool)) & (count > 0)
    found = hits[..., None, 1:] - hits[..., :-1, None]
    return np.asarray(np.where(known, found / np.where(known, count, 1.0), np.nan))


def _fits_from(mean: FloatArray) -> FloatArray:
    """Isotonic fits (..., j, i) of the cells j..n-1 alone, for every j: the best start of means."""
    end = np.where(np.isnan(mean), np.inf, mean)
    lowest = np.minimum.accumulate(end[..., ::-1], axis=-1)[..., ::-1]
    inside = np.triu(np.ones(mean.shape[-2:], dtype=bool)) & np.isfinite(lowest)
    usable = np.where(inside, lowest, -np.inf)
    return np.maximum(0.0, np.maximum.accumulate(usable[..., ::-1, :], axis=-2)[..., ::-1, :])


def _fits_up_to(mean: FloatArray) -> FloatArray:
    """Isotonic fits (..., j, i) of the cells 0..j alone, for every j: the min-max formula."""
    start = np.where(np.isnan(mean), -np.inf, mean)
    highest = np.maximum.accumulate(start, axis=-2)
    inside = np.triu(np.ones(mean.shape[-2:], dtype=bool))
    ends = np.minimum.accumulate(np.where(inside, highest, np.inf), axis=-1)
    return np.maximum(0.0, np.swapaxes(ends, -1, -2))


def _log_likelihood(p: FloatArray, diverged: FloatArray, runs: FloatArray) -> FloatArray:
    terms = special.xlogy(diverged, p) + special.xlogy(runs - diverged, 1.0 - p)
    return np.asarray(np.sum(terms, axis=-1))


def takeover_deviance(diverged: FloatArray, runs: FloatArray) -> FloatArray:
    """Deviance (..., n + 1) of "P passes 1/2 after the first j cells", j = 0..n.

    P is at most 1/2 in the first j cells, at least 1/2 in the rest and monotone throughout; both
    parts are isotonic fits clipped at 1/2, which is their exact constrained optimum.
    """
    n = diverged.shape[-1]
    if n == 0:
        return np.zeros((*diverged.shape[:-1], 1))
    mean = _window_means(diverged, runs)
    rest = _fits_from(mean)
    fitted = np.zeros((*diverged.shape[:-1], n + 1, n))
    fitted[..., 1:, :] = np.minimum(_fits_up_to(mean), 0.5)
    after = np.arange(n) >= np.arange(n)[:, None]
    fitted[..., :-1, :] = np.where(after, np.maximum(rest, 0.5), fitted[..., :-1, :])
    unrestricted = _log_likelihood(rest[..., 0, :], diverged, runs)
    given = _log_likelihood(fitted, diverged[..., None, :], runs[..., None, :])
    return np.maximum(2.0 * (unrestricted[..., None] - given), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DivergenceAt:
    """Divergence at one LR: k of r seeds, the monotone estimate and one-sided 95 % limits."""

    lr: float
    diverged: int
    runs: int
    probability: float
    lower: float
    upper: float


def divergence_table(
    lr: FloatArray, diverged: FloatArray, runs: FloatArray
) -> tuple[DivergenceAt, ...]:
    """Counts, monotone estimates and Clopper-Pearson limits per LR; all (n,), LR ascending."""
    estimates = isotonic(diverged, runs)
    return tuple(
        DivergenceAt(
            lr=float(lr[i]),
            diverged=int(diverged[i]),
            runs=int(runs[i]),
            probability=float(estimates[i]),
            lower=clopper_pearson_lower(diverged[i], runs[i]),
            upper=clopper_pearson_upper(diverged[i], runs[i]),
        )
        for i in range(len(lr))
    )
