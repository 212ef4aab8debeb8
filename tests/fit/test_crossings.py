"""Crossings are those of all positions, from few of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lars_sweep.fit.answers import Kind
from lars_sweep.fit.crossings import (
    MARKS,
    first_crossing,
    last_crossing,
    scan,
    sparsely,
    target_answer,
)


@given(
    st.integers(2, 300),
    st.floats(-3.0, 3.0),
    st.floats(-3.0, 1.5).map(lambda power: 10.0**power),
    st.booleans(),
)
def test_few_positions_cross_where_all_do(
    count: int, middle: float, width: float, infinite: bool
) -> None:
    positions = np.linspace(-2.0, 2.0, count)
    if infinite:
        positions = np.append(positions, np.inf)
    asked = []

    def confidence(at: np.ndarray) -> np.ndarray:
        asked.extend(at.tolist())
        return stats.norm.cdf((at - middle) / width)

    everywhere = confidence(positions)
    asked.clear()
    some, values = sparsely(confidence, positions)
    assert len(asked) == len(set(asked)) == len(some)
    assert np.all(np.diff(some) > 0)
    assert np.isin(some, positions).all()
    for mark in MARKS:
        for crossing in (first_crossing, last_crossing):
            assert crossing(some, values, mark) == crossing(positions, everywhere, mark)


def test_a_narrow_climb_takes_few_evaluations() -> None:
    positions, asked = np.linspace(0.0, 1.0, 241), []

    def confidence(at: np.ndarray) -> np.ndarray:
        asked.append(len(at))
        return stats.norm.cdf((at - 0.5) / 0.01)

    sparsely(confidence, positions)
    assert len(asked) == 2
    assert sum(asked) < 60


def test_a_scan_refines_what_climbs_between_two_positions() -> None:
    positions = np.append(np.exp2(np.arange(0.0, 12.0, 1 / 6)), np.inf)
    at, values = scan(lambda s: stats.norm.cdf((np.log(s) - 5.0) / 0.004), positions)
    for mark in MARKS:
        exact = np.exp(5.0 + 0.004 * stats.norm.ppf(mark))
        assert first_crossing(at, values, mark) == pytest.approx(exact, rel=1e-4)


def test_a_target_that_is_reached_before_the_search_begins_has_an_upper_limit_only() -> None:
    positions = np.array([10.0, 20.0, 40.0, np.inf])
    answer = target_answer(positions, np.array([0.98, 0.99, 0.99, 1.0]), 40.0, "epochs")
    assert answer.kind is Kind.CENSORED_LOW
    assert answer.value is None
    assert (answer.interval.low, answer.interval.high) == (None, 10.0)
    assert answer.reason == "reached before 10 epochs, where the search begins"


def test_a_mark_met_exactly_after_a_position_that_rounds_to_it_is_no_division_by_zero() -> None:
    below = np.nextafter(0.025, 0.0)
    assert first_crossing(np.array([1.0, 2.0]), np.array([below, 0.025]), 0.025) == 2.0
