"""Planned points are functions of (sweep seed, stratum, index), and of nothing else."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runkit import plan_of, sampled

from lars_sweep.spec.axes import Choices, Range
from lars_sweep.study.points import _value, stream_seed

KINDS = ("random", "qmc")


def points(directory: Path, kind: str, n: int, *overrides: str) -> list[dict[str, object]]:
    return [dict(q.params) for q in plan_of(directory, sampled(kind, n), overrides).queue]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 20])
def test_more_points_leave_the_first_ones_as_they_are(tmp_path: Path, kind: str, n: int) -> None:
    assert points(tmp_path, kind, n) == points(tmp_path, kind, 33)[:n]


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_draws_from_a_range_coincide(tmp_path: Path, kind: str) -> None:
    assert len(points(tmp_path, kind, 2000)) == 2000


@pytest.mark.parametrize("kind", KINDS)
def test_the_sweep_seed_decides(tmp_path: Path, kind: str) -> None:
    first = points(tmp_path, kind, 8)
    assert points(tmp_path, kind, 8) == first
    other = points(tmp_path, kind, 8, "strategy.seed=1")
    assert not {p["base_lr"] for p in first} & {p["base_lr"] for p in other}


@pytest.mark.parametrize("kind", KINDS)
def test_strata_draw_their_own_points(tmp_path: Path, kind: str) -> None:
    plan = plan_of(tmp_path, sampled(kind, 8), ["space.global_batch=[64, 128]"])
    first, second = (
        {q.params["base_lr"] for q in plan.queue if q.stratum == name} for name in plan.strata_names
    )
    assert len(first) == len(second) == 8
    assert not first & second


@pytest.mark.parametrize("kind", KINDS)
def test_points_do_not_depend_on_the_other_strata(tmp_path: Path, kind: str) -> None:
    alone = points(tmp_path, kind, 8)
    both = plan_of(tmp_path, sampled(kind, 8), ["space.global_batch=[128, 64]"])
    name = next(name for name in both.strata_names if "B64" in name)
    assert [dict(q.params) for q in both.queue if q.stratum == name] == alone


def test_the_draws_are_golden(tmp_path: Path) -> None:
    """On every machine and with every C library: values have twelve digits."""
    assert points(tmp_path, "random", 4) == GOLDEN_RANDOM
    assert points(tmp_path, "qmc", 4) == GOLDEN_QMC


def test_qmc_covers_the_range_more_evenly_than_chance(tmp_path: Path) -> None:
    """Of 16 Sobol points each sixteenth of the range holds exactly one."""
    logs = [math.log10(float(str(p["base_lr"]))) for p in points(tmp_path, "qmc", 16)]
    assert sorted(int((log + 2) / 3 * 16) for log in logs) == list(range(16))


def test_points_drawn_twice_run_once(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, sampled("random", 12), ["space.base_lr=[0.1, 0.2]", "space.momentum=0.9"]
    )
    assert sorted(str(q.params["base_lr"]) for q in plan.queue) == ["0.1", "0.2"]


_UNIT = st.floats(0, 1, exclude_max=True)


@given(_UNIT, st.booleans(), st.booleans())
def test_a_draw_lies_in_its_range(u: float, log: bool, integer: bool) -> None:
    value = _value(Range("x", 3, 4096, log, integer), u)
    assert isinstance(value, int if integer else float)
    assert 3 <= float(str(value)) <= 4096


@given(_UNIT)
def test_a_draw_from_choices_is_a_choice(u: float) -> None:
    assert _value(Choices("x", ("a", "b", "c")), u) == ("a", "b", "c")[int(3 * u)]


@pytest.mark.parametrize(
    ("log", "u", "value"),
    [(False, 0.5, 512), (True, 0.5, 32), (True, 0.0, 1), (False, 0.9999, 1023)],
)
def test_integers_are_even_in_the_range_or_its_logarithm(log: bool, u: float, value: int) -> None:
    assert _value(Range("x", 1, 1023, log, integer=True), u) == value


@given(st.integers(0, 5), st.integers(0, 50), st.integers(0, 5), st.integers(0, 50))
def test_streams_differ(seed_a: int, a: int, seed_b: int, b: int) -> None:
    same = (seed_a, a) == (seed_b, b)
    assert (stream_seed(seed_a, "s", a) == stream_seed(seed_b, "s", b)) is same
    assert stream_seed(seed_a, "s", a) != stream_seed(seed_a, "t", a)


GOLDEN_RANDOM = [
    {"base_lr": 0.0342854985033, "momentum": 0.8},
    {"base_lr": 2.37838702887, "momentum": 0.8},
    {"base_lr": 0.0630488807921, "momentum": 0.9},
    {"base_lr": 8.58624830518, "momentum": 0.8},
]
GOLDEN_QMC = [
    {"base_lr": 6.56663760914, "momentum": 0.8},
    {"base_lr": 0.106998641159, "momentum": 0.9},
    {"base_lr": 0.0303737914151, "momentum": 0.8},
    {"base_lr": 0.468565773478, "momentum": 0.9},
]
