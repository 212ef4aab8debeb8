"""Against scipy.stats, the slower way to the same numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from lars_sweep.fit import distributions as d

LEVELS = (0.005, 0.5, 0.95, 0.99875)
NUS = (1.0, 2.7, 12.0, 400.0)


@pytest.mark.parametrize("level", LEVELS)
def test_quantiles(level: float) -> None:
    assert d.normal_quantile(level) == pytest.approx(stats.norm.ppf(level), rel=1e-12, abs=1e-15)
    assert d.chi2_quantile(level, 3) == pytest.approx(stats.chi2.ppf(level, 3), rel=1e-10)
    assert d.beta_quantile(level, 2.0, 7.0) == pytest.approx(stats.beta.ppf(level, 2, 7), rel=1e-10)
    assert d.student_quantile(level, math.inf) == d.normal_quantile(level)
    assert d.f_quantile(level, 2, math.inf) == pytest.approx(stats.chi2.ppf(level, 2) / 2)
    for nu in NUS:
        student = pytest.approx(stats.t.ppf(level, nu), rel=1e-9, abs=1e-9)
        assert d.student_quantile(level, nu) == student
        assert d.f_quantile(level, 1, nu) == pytest.approx(stats.f.ppf(level, 1, nu), rel=1e-9)


@pytest.mark.parametrize("x", [0.0, 0.3, 4.0, 40.0])
def test_tails(x: float) -> None:
    assert d.chi2_tail(x, 2) == pytest.approx(stats.chi2.sf(x, 2), rel=1e-10)
    assert d.f_tail(x, 2, math.inf) == pytest.approx(stats.chi2.sf(2 * x, 2), rel=1e-10)
    roots = np.array([-x, x])
    assert d.student_cdf(roots, math.inf) == pytest.approx(stats.norm.cdf(roots), rel=1e-10)
    for nu in NUS:
        assert d.f_tail(x, 2, nu) == pytest.approx(stats.f.sf(x, 2, nu), rel=1e-9)
        assert d.student_cdf(roots, nu) == pytest.approx(stats.t.cdf(roots, nu), rel=1e-9)


def test_standard_error() -> None:
    sample = np.array([1.0, 2.0, 4.0])
    assert d.standard_error(sample) == pytest.approx(stats.sem(sample), rel=1e-14)
