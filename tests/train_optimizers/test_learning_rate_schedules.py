"""Schedules: exact values, continuity, peak and integral."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.schedules import (
    excluded_learning_rate,
    learning_rate,
    lr_integral,
    lr_peak,
)


def trial(steps: int = 100, **fields: object) -> TrialSpec:
    defaults = {
        "model": "small_alexnet_bn", "dataset": "digits", "data_id": "0", "samples": 1000,
        "optimizer": "sgd", "global_batch": 10, "bn_batch": 10, "base_lr": 10.0, "seed": 0,
        "epochs": steps / 100,
    }  # fmt: skip
    return TrialSpec(**{**defaults, **fields})


def rates(t: TrialSpec) -> list[float]:
    return [learning_rate(t, step) for step in range(t.steps)]


def test_nvidias_8k_solver():
    # bvlc_alexnet/solver_8K of October 2017: base 10, ramp from 1 over 600 of 15,600, poly 2.
    t = trial(15_600, warmup_steps=600, warmup_start=1.0)
    assert t.steps == 15_600
    assert learning_rate(t, 0) == 1.0
    assert learning_rate(t, 300) == 5.5
    assert learning_rate(t, 599) == pytest.approx(9.985)
    assert learning_rate(t, 600) == pytest.approx(10 * (1 - 600 / 15_600) ** 2)
    assert learning_rate(t, 15_599) == pytest.approx(10 / 15_600**2)
    assert lr_peak(t) == learning_rate(t, 599)


def test_poly_that_restarts_after_the_warm_up_begins_at_the_base():
    t = trial(warmup_steps=20, poly_origin="after_warmup", power=2.0)
    assert learning_rate(t, 20) == 10
    assert learning_rate(t, 60) == pytest.approx(10 * 0.25)
    assert lr_peak(t) == 10


def test_step_cosine_and_constant():
    t = trial(schedule="step", milestones=(0.3, 0.6), step_factor=0.1)
    assert [learning_rate(t, s) for s in (29, 30, 59, 60)] == pytest.approx([10, 1, 1, 0.1])
    t = trial(schedule="cosine", warmup_steps=20)
    assert [learning_rate(t, s) for s in (20, 60)] == pytest.approx([10, 5])
    assert set(rates(trial(schedule="constant"))) == {10}


def test_a_warm_up_longer_than_the_run_never_leaves_it():
    t = trial(10, warmup_steps=40, warmup_start=2.0)
    assert rates(t) == pytest.approx([2 + 0.2 * s for s in range(10)])
    assert lr_peak(t) == learning_rate(t, 9)
    exact = trial(10, warmup_steps=10, poly_origin="after_warmup")
    assert lr_peak(exact) == pytest.approx(9)


def test_excluded_parameters_follow_the_same_curve():
    t = trial(warmup_steps=20, warmup_start=1.0, lr_excluded=0.5)
    for step in (0, 7, 20, 99):
        assert excluded_learning_rate(t, step) == pytest.approx(learning_rate(t, step) / 20)
    assert excluded_learning_rate(trial(), 3) == learning_rate(trial(), 3)


trials = st.builds(
    trial,
    steps=st.integers(1, 300),
    base_lr=st.floats(1e-3, 100),
    warmup_start=st.sampled_from([0.0, 1e-3, 1.0, 50.0]),
    warmup_steps=st.integers(0, 320),
    schedule=st.sampled_from(["poly", "step", "cosine", "constant"]),
    poly_origin=st.sampled_from(["global", "after_warmup"]),
    power=st.sampled_from([0.5, 1.0, 2.0]),
    milestones=st.sampled_from([(), (0.5,), (0.3, 0.6)]),
)


@given(t=trials)
@settings(deadline=None)
def test_peak_and_integral_are_those_of_the_steps(t):
    assert lr_peak(t) == max(rates(t))
    assert lr_integral(t, t.steps) == math.fsum(rates(t))
    assert lr_integral(t, 0) == 0
    assert all(math.isfinite(rate) and rate >= 0 for rate in rates(t))


@given(t=trials)
@settings(deadline=None)
def test_schedules_are_continuous_but_where_they_say_so(t):
    curve, warm = rates(t), t.warmup_steps
    jumps = {math.ceil(share * t.steps) for share in t.milestones if t.schedule == "step"}
    if t.schedule == "poly" and t.poly_origin == "global":
        jumps.add(warm)
    if t.schedule == "step":
        jumps.add(warm)  # A milestone may lie within the warm-up.
    rise = abs(t.base_lr - t.warmup_start) / warm if warm else 0
    left = max(t.steps - (0 if t.poly_origin == "global" and t.schedule == "poly" else warm), 1)
    # Steepest at the origin for a power of at least 1, at the end (by left^-power) for less.
    fall = t.base_lr * max(max(t.power, math.pi / 2) / left, left ** -min(t.power, 1.0))
    for step in range(1, t.steps):
        if step not in jumps:
            change = abs(curve[step] - curve[step - 1])
            assert change <= (rise if step <= warm else fall) * (1 + 1e-9) + 1e-12


def test_a_jump_would_be_seen():
    curve = rates(trial(warmup_steps=20))
    assert abs(curve[20] - curve[19]) > 10 / 20
