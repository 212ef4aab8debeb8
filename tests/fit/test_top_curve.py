"""The flat top that is drawn over the cells of an LR interval."""

from __future__ import annotations

import numpy as np
import pytest

from lars_sweep.fit.top_curve import TopCurve, top_curve

X = np.arange(-4.0, 4.25, 0.5)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.5), (-0.5, -0.5), (-3.0, 2.0)])
@pytest.mark.parametrize("bends", [(2.0, 0.5), (8.0, 3.0)])
def test_a_flat_top_without_noise_is_found_again(
    low: float, high: float, bends: tuple[float, float]
) -> None:
    truth = TopCurve(
        height=70.0, low=2.0**low, high=2.0**high, low_bend=bends[0], high_bend=bends[1]
    )
    found = top_curve(X, truth.at(2.0**X), np.full(len(X), 25.0), 70.0, 1 / 32)
    assert found.low == pytest.approx(truth.low)
    assert found.high == pytest.approx(truth.high)
    assert (found.low_bend, found.high_bend) == pytest.approx(bends)
    assert found.at(np.array([2.0**low, 2.0**high])) == pytest.approx([70.0, 70.0])


def test_a_cell_of_no_weight_moves_nothing() -> None:
    truth = TopCurve(height=70.0, low=0.5, high=2.0, low_bend=3.0, high_bend=3.0)
    y, weights = truth.at(2.0**X), np.full(len(X), 25.0)
    y[-1], weights[-1] = 0.0, 0.0
    found = top_curve(X, y, weights, 70.0, 1 / 32)
    assert found.high_bend == pytest.approx(3.0)


def test_a_plateau_to_the_end_of_the_grid_has_no_bend_there() -> None:
    truth = TopCurve(height=70.0, low=1.0, high=2.0**9, low_bend=3.0, high_bend=3.0)
    found = top_curve(X, truth.at(2.0**X), np.full(len(X), 25.0), 70.0, 1 / 32)
    assert found.high_bend == 0.0
    assert found.at(np.array([2.0**4])) == pytest.approx(70.0)


def test_other_units_shift_the_curve() -> None:
    one = TopCurve(height=70.0, low=0.5, high=2.0, low_bend=3.0, high_bend=1.0)
    lrs = np.geomspace(0.01, 30.0, 9)
    assert one.scaled(0.001).at(0.001 * lrs) == pytest.approx(one.at(lrs))
