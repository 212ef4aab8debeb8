"""How likely a run diverges at an LR: counts, their limits, and where divergence takes over.

P(diverge | log LR) is taken as non-decreasing and nothing else. The upper edge of a good interval
is cut where it passes 1/2: "any seed diverged" would cut 0.35 octave low in the median
(PROTOCOL.md 12).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from lars_sweep.fit.linear import FloatArray


def clopper_pearson_upper(diverged: float, runs: float, level: float = 0.95) -> float:
    """One-sided upper limit of a probability: 0 of 3 still allows 0.63, 0 of 10 allows 0.26."""
    if diverged >= runs:
        return 1.0
    return float(stats.beta.ppf(level, diverged + 1.0, runs - diverged))


def clopper_pearson_lower(diverged: float, runs: float, level: float = 0.95) -> float:
    """One-sided lower limit of a probability."""
    if diverged <= 0:
        return 0.0
    return float(stats.beta.ppf(1.0 - level, diverged, runs - diverged + 1.0))


def isotonic(diverged: FloatArray, runs: FloatArray) -> FloatArray:
    """Non-decreasing maximum-likelihood P (..., n) from counts (..., n), by the max-min formula.

    Cells without runs take their left neighbour's value (0 at the left end).
    """
    n = diverged.shape[-1]
    if n == 0:
        return diverged
    zero = np.zeros((*diverged.shape[:-1], 1))
    hits = np.concatenate([zero, np.cumsum(diverged, axis=-1)], axis=-1)
    total = np.concatenate([zero, np.cumsum(runs, axis=-1)], axis=-1)
    # mean[a, b]: share of diverged runs in cells a..b
    count = total[..., None, 1:] - total[..., :-1, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (hits[..., None, 1:] - hits[..., :-1, None]) / count
    valid = np.triu(np.ones((n, n), dtype=bool)) & (count > 0)
    mean = np.where(valid, mean, np.inf)
    best_end = np.minimum.accumulate(mean[..., ::-1], axis=-1)[..., ::-1]
    usable = np.where(np.isfinite(best_end), best_end, -np.inf)
    usable = np.where(np.triu(np.ones((n, n), dtype=bool)), usable, -np.inf)
    return np.asarray(np.maximum(0.0, np.max(usable, axis=-2)))


def _log_likelihood(p: FloatArray, diverged: FloatArray, runs: FloatArray) -> FloatArray:
    terms = special.xlogy(diverged, p) + special.xlogy(runs - diverged, 1.0 - p)
    return np.asarray(np.sum(terms, axis=-1))


def takeover_deviance(diverged: FloatArray, runs: FloatArray) -> FloatArray:
    """Deviance (..., n + 1) of "P passes 1/2 after the first j cells", j = 0..n.

    P is at most 1/2 in the first j cells, at least 1/2 in the rest and monotone throughout; both
    parts are isotonic fits clipped at 1/2, which is their exact constrained optimum.
    """
    n = diverged.shape[-1]
    unrestricted = _log_likelihood(isotonic(diverged, runs), diverged, runs)
    deviances = []
    for j in range(n + 1):
        below = np.minimum(isotonic(diverged[..., :j], runs[..., :j]), 0.5)
        above = np.maximum(isotonic(diverged[..., j:], runs[..., j:]), 0.5)
        fitted = np.concatenate([below, above], axis=-1)
        deviances.append(2.0 * (unrestricted - _log_likelihood(fitted, diverged, runs)))
    return np.maximum(np.stack(deviances, axis=-1), 0.0)


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
