"""Answers as values: what they say, how they are written, what importing them costs."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

import lars_sweep.fit
from lars_sweep.errors import OutcomeError
from lars_sweep.fit import Answer, Interval, Kind, Rows, to_jsonable
from lars_sweep.fit.answers import estimate, p_text


def test_every_exported_name_exists() -> None:
    for name in lars_sweep.fit.__all__:
        assert getattr(lars_sweep.fit, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lars_sweep.fit.nothing


def test_importing_the_package_loads_no_scipy() -> None:
    code = "import sys, lars_sweep.fit; assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_intervals_hold_values_up_to_their_open_ends() -> None:
    assert 1e9 in Interval(low=1.0, high=None)
    assert 0.5 not in Interval(low=1.0, high=None)
    assert Interval(low=1.0, high=None).width == np.inf
    assert Interval(low=1.0, high=4.0).map(np.sqrt) == Interval(low=1.0, high=2.0)


def test_the_kind_follows_from_the_interval() -> None:
    assert estimate(1.0, Interval(low=0.0, high=2.0)).kind is Kind.BOUNDED
    assert estimate(1.0, Interval(low=0.0, high=None)).kind is Kind.AT_LEAST
    assert estimate(1.0, Interval(low=None, high=2.0)).kind is Kind.UNBOUNDED
    assert estimate(1.0, None).kind is Kind.NO_SIGMA


def test_json_keeps_every_digit_and_has_no_infinity() -> None:
    value = 0.1 + 0.2
    answer = Answer(kind=Kind.AT_LEAST, value=value, interval=Interval(low=np.pi, high=None))
    text = json.dumps(to_jsonable((answer, np.array([np.inf, 1.0]))), allow_nan=False)
    read = json.loads(text)
    assert read[0]["value"] == value
    assert read[0]["interval"] == {"low": np.pi, "high": None, "level": 0.95}
    assert read[1] == [None, 1.0]
    with pytest.raises(TypeError, match="no JSON form"):
        to_jsonable(object())


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(OutcomeError, match="differ in length"):
        Rows({"a": np.zeros(2), "b": np.zeros(3)})


def test_a_p_value_claims_no_more_than_three_decimals() -> None:
    assert [p_text(p) for p in (0.0, 6e-143, 0.00099)] == ["p < 0.001"] * 3
    assert [p_text(p) for p in (0.001, 0.0123, 0.9)] == ["p = 0.001", "p = 0.012", "p = 0.9"]
