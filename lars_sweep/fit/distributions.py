"""Quantiles and tails of the distributions that the fits use.

From scipy.special: importing scipy.stats takes 0.4 s, and each of its calls fifty times as long.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from lars_sweep.fit.linear import FloatArray


def normal_quantile(level: Any) -> Any:
    """Z with P(Z <= z) = level; elementwise."""
    return special.ndtri(level)


def student_quantile(level: float, nu: float) -> float:
    """T with P(T <= t) = level at nu degrees of freedom; infinitely many: of the normal."""
    return float(special.ndtri(level) if math.isinf(nu) else special.stdtrit(nu, level))


def student_cdf(t: Any, nu: float) -> Any:
    """P(T <= t) at nu degrees of freedom, infinitely many allowed; elementwise."""
    return special.ndtr(t) if math.isinf(nu) else special.stdtr(nu, t)


def chi2_quantile(level: float, k: float) -> float:
    """X with P(X <= x) = level at k degrees of freedom."""
    return float(special.chdtri(k, 1.0 - level))


def chi2_tail(x: float, k: float) -> float:
    """P(X > x) at k degrees of freedom."""
    return float(special.chdtrc(k, x))


def f_quantile(level: float, k: float, nu: float) -> float:
    """X with P(X <= x) = level at k and nu degrees of freedom; infinitely many: chi-squared / k."""
    return chi2_quantile(level, k) / k if math.isinf(nu) else float(special.fdtri(k, nu, level))


def f_tail(x: float, k: float, nu: float) -> float:
    """P(X > x) at k and nu degrees of freedom; infinitely many: of chi-squared / k."""
    return chi2_tail(x * k, k) if math.isinf(nu) else float(special.fdtrc(k, nu, x))


def beta_quantile(level: float, a: float, b: float) -> float:
    """X with P(X <= x) = level of Beta(a, b)."""
    return float(special.betaincinv(a, b, level))


def standard_error(sample: FloatArray) -> float:
    """Of the mean of two values or more."""
    return float(np.std(sample, ddof=1)) / math.sqrt(len(sample))
