"""Divergence: limits from counts, the monotone fit, where it takes over."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import special, stats

from lars_sweep.fit.divergence import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    isotonic,
    takeover_deviance,
)


@pytest.mark.parametrize(("runs", "upper"), [(1, 0.95), (3, 0.63), (5, 0.45), (10, 0.26)])
def test_no_divergence_in_few_runs_says_little(runs: int, upper: float) -> None:
    assert clopper_pearson_upper(0, runs) == pytest.approx(upper, abs=0.005)
    assert clopper_pearson_lower(runs, runs) == pytest.approx(1 - upper, abs=0.005)
    assert clopper_pearson_lower(0, runs) == 0.0
    assert clopper_pearson_upper(runs, runs) == 1.0


def _loglik(p: np.ndarray, k: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Log likelihood of each row of probabilities, less the constant."""
    return np.sum(special.xlogy(k, p) + special.xlogy(n - k, 1 - p), axis=-1)


def test_isotonic_fit_beats_every_monotone_candidate() -> None:
    rng = np.random.default_rng(2)
    ticks = np.linspace(0.0, 1.0, 11)
    candidates = np.array(list(itertools.combinations_with_replacement(ticks, 4)))
    for _ in range(30):
        runs = rng.integers(1, 5, 4).astype(float)
        diverged = np.minimum(rng.integers(0, 5, 4), runs).astype(float)
        p = isotonic(diverged, runs)
        assert np.all(np.diff(p) >= 0)
        best = _loglik(candidates, diverged, runs).max()
        assert _loglik(p, diverged, runs) >= best - 1e-9


def test_takeover_deviance_is_the_cost_of_the_best_constrained_candidate() -> None:
    ticks = np.linspace(0.0, 1.0, 41)
    candidates = np.array(list(itertools.combinations_with_replacement(ticks, 3)))
    diverged, runs = np.array([0.0, 2.0, 3.0]), np.array([4.0, 4.0, 4.0])
    free = _loglik(candidates, diverged, runs).max()
    found = takeover_deviance(diverged, runs)
    for j in range(4):
        allowed = np.all(candidates[:, :j] <= 0.5, axis=1) & np.all(
            candidates[:, j:] >= 0.5, axis=1
        )
        best = _loglik(candidates[allowed], diverged, runs).max()
        assert found[j] == pytest.approx(2 * (free - best), abs=1e-6)


def test_takeover_deviance_fits_both_parts_as_isotonic_fits_them_alone() -> None:
    rng = np.random.default_rng(3)
    runs = rng.integers(0, 6, (200, 9)).astype(float)
    diverged = np.floor(runs * rng.random((200, 9)))
    free = _loglik(isotonic(diverged, runs), diverged, runs)
    found = takeover_deviance(diverged, runs)
    for j in range(10):
        below = np.minimum(isotonic(diverged[:, :j], runs[:, :j]), 0.5)
        above = np.maximum(isotonic(diverged[:, j:], runs[:, j:]), 0.5)
        fitted = np.concatenate([below, above], axis=1)
        cost = np.maximum(2 * (free - _loglik(fitted, diverged, runs)), 0.0)
        np.testing.assert_allclose(found[:, j], cost, rtol=0, atol=1e-12)


def test_no_cells_have_one_place_of_takeover() -> None:
    assert takeover_deviance(np.zeros(0), np.zeros(0)).tolist() == [0.0]


def test_cells_without_runs_say_nothing() -> None:
    full = takeover_deviance(np.array([0.0, 3.0]), np.array([3.0, 3.0]))
    gap = takeover_deviance(np.array([0.0, 0.0, 3.0]), np.array([3.0, 0.0, 3.0]))
    np.testing.assert_allclose(gap, [full[0], full[1], full[1], full[2]])


def test_three_of_three_bracket_and_one_of_one_does_not() -> None:
    certain = takeover_deviance(np.array([0.0, 3.0]), np.array([3.0, 3.0]))
    assert certain[2] > stats.chi2.ppf(0.95, 1)
    unlucky = takeover_deviance(np.array([0.0, 1.0]), np.array([1.0, 1.0]))
    assert unlucky[2] < stats.chi2.ppf(0.95, 1)
