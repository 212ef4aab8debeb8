"""Fieller's interval of a ratio of two normal estimates: honest where the bottom may be zero."""

from __future__ import annotations

import math

from lars_sweep.fit.answers import Interval

_NORMAL_95 = 1.959964


def fieller(
    top: float,
    bottom: float,
    var_top: float,
    var_bottom: float,
    covariance: float = 0.0,
    quantile: float = _NORMAL_95,
) -> Interval:
    """Values r for which ``top - r bottom`` is compatible with 0, of a ratio that is not negative.

    With ``a r² - 2 b r + c <= 0``, ``a = bottom² - q² var_bottom``,
    ``b = top bottom - q² covariance``, ``c = top² - q² var_top`` (Fieller 1954). Where the bottom
    may be 0 (a <= 0) the set has no upper end.

    Args:
        top: estimate of the numerator.
        bottom: estimate of the denominator.
        var_top: its variance.
        var_bottom: its variance.
        covariance: of the two.
        quantile: of the normal or t distribution, two-sided.
    """
    a = bottom**2 - quantile**2 * var_bottom
    b = top * bottom - quantile**2 * covariance
    c = top**2 - quantile**2 * var_top
    discriminant = b * b - a * c
    root = math.sqrt(max(discriminant, 0.0))
    if a > 0:
        return Interval(low=max((b - root) / a, 0.0), high=max((b + root) / a, 0.0))
    # What is left are the ratios outside of the two roots; c / (b + root) is the positive one.
    if discriminant <= 0 or c <= 0 or b + root <= 0:
        return Interval(low=None, high=None)
    return Interval(low=c / (b + root), high=None)
