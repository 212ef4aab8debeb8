"""The noise between seeds: measured near the best LR, not where training is about to fail."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lars_sweep.fit.sigma import MINIMUM_NU, NEAR, calm, near_best, spread

DELTA = 0.5


def grid(far: float, seeds: int = 3, seed: int = 0) -> np.ndarray:
    """Five cells at the plateau with noise 0.25, two 20 points below with noise ``far``."""
    rng = np.random.default_rng(seed)
    height = np.array([40.0, 60, 60, 60, 60, 60, 40])
    noise = np.array([far, 0.25, 0.25, 0.25, 0.25, 0.25, far])
    return height[None, :, None] + noise[None, :, None] * rng.standard_normal((1, 7, seeds))


def test_scatter_far_below_the_plateau_is_none_of_its_noise() -> None:
    calm, wild = spread(grid(0.25), None, DELTA), spread(grid(8.0), None, DELTA)
    assert calm.pooled == wild.pooled
    assert calm.nu == wild.nu == 10
    assert 0.1 < float(np.sqrt(wild.pooled[0])) < 0.5


def test_cells_that_scatter_have_their_own_variance_as_badly_known_as_it_is() -> None:
    samples = grid(8.0)
    variance = spread(samples, None, DELTA).variance[0]
    factor = (stats.t.ppf(0.975, 2) / stats.norm.ppf(0.975)) ** 2
    assert variance[0] == pytest.approx(factor * np.var(samples[0, 0], ddof=1))
    assert variance[-1] == pytest.approx(factor * np.var(samples[0, -1], ddof=1))
    assert variance[1] == spread(samples, None, DELTA).pooled[0]


def test_a_cell_that_scatters_is_not_calm_though_its_mean_came_near_the_plateau() -> None:
    mean, own = np.full((1, 6), 60.0), np.full((1, 6), 2.0)
    variance = np.array([[0.04, 0.05, 9.0, 0.06, 4.0, 0.05]])
    assert calm(mean, variance, own, DELTA).tolist() == [[True, True, False, True, False, True]]


def test_equal_variances_are_taken_for_unequal_in_about_one_case_of_a_hundred() -> None:
    variance = np.random.default_rng(3).chisquare(2.0, (20_000, 7)) / 2.0
    cells = calm(np.full(variance.shape, 60.0), variance, np.full(variance.shape, 2.0), DELTA)
    assert 1.0 - np.mean(cells.all(axis=1)) == pytest.approx(0.012, abs=0.003)


def test_a_single_cell_with_any_scatter_does_not_make_the_noise_zero() -> None:
    variance = np.array([[0.0, 0.0, 0.3, 0.0]])
    assert calm(np.full((1, 4), 60.0), variance, np.full((1, 4), 2.0), DELTA).all()


def test_a_sharp_peak_borrows_from_the_next_best_cells_for_enough_seeds() -> None:
    mean = np.array([[10.0, 80.0, 99.0, 70.0]])
    near = near_best(mean, np.full((1, 4), 0.06), np.full((1, 4), 2.0), DELTA)
    assert near.tolist() == [[False, True, True, False]]
    assert 2 * near.sum() >= MINIMUM_NU


def test_seeds_that_scatter_above_the_plateau_do_not_say_what_its_noise_is() -> None:
    samples = grid(0.25)
    calm_alone = spread(samples, None, DELTA)
    samples[0, 0] = [56.0, 66.0, 73.0]  # mean 65: five points above the plateau, ten deltas
    wild = spread(samples, None, DELTA)
    assert wild.pooled == calm_alone.pooled
    assert wild.nu == calm_alone.nu == 10
    assert wild.variance[0, 0] > 70.0


def test_cells_without_replicates_are_never_near() -> None:
    mean, own = np.array([[60.0, np.nan, 59.0]]), np.array([[0.0, 0.0, 2.0]])
    assert near_best(mean, np.zeros((1, 3)), own, DELTA).tolist() == [[False, False, True]]


def test_no_cells_have_no_noise() -> None:
    assert near_best(*np.empty((3, 1, 0)), DELTA).shape == (1, 0)
    assert spread(np.empty((1, 0, 1)), None, DELTA).nu.tolist() == [0]


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=9),
    st.integers(1, 4),
    st.floats(0.1, 2.0),
    st.floats(0.0, 9.0),
)
def test_every_cell_within_reach_is_near(
    means: list[float], own: int, delta: float, variance: float
) -> None:
    mean = np.array([means])
    near = near_best(mean, np.full(mean.shape, variance), np.full(mean.shape, float(own)), delta)
    assert near[mean >= mean.max() - NEAR * delta].all()
    assert own * near.sum() >= min(MINIMUM_NU, own * len(means))
