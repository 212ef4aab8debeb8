"""Critical batch: planted laws, censored runs, too few batches."""

from __future__ import annotations

import numpy as np
import pytest

from lars_sweep.fit.answers import Answer, Kind
from lars_sweep.fit.critical_batch import (
    CriticalBatch,
    StepsToTarget,
    censored_deviance,
    fit_critical_batch,
    speed_up,
    steps_to_target,
    wall_clock,
)
from lars_sweep.fit.engine import Noise
from lars_sweep.fit.tuned import Tuned

BATCHES = 2.0 ** np.arange(8, 16)
HALF = 2.0**12


def points(
    alpha: float = 1.0, sd: float = 0.05, batches: np.ndarray = BATCHES, seed: int = 0
) -> StepsToTarget:
    noise = np.random.default_rng(seed).normal(0, sd, len(batches))
    steps = 500 * (1 + (HALF / batches) ** alpha) * np.exp(noise)
    return StepsToTarget(
        batch=batches,
        steps=steps,
        log_se=np.full(len(batches), sd),
        censored=np.zeros(len(batches), dtype=bool),
    )


def fitted(data: StepsToTarget) -> CriticalBatch:
    found = fit_critical_batch(data)
    assert isinstance(found, CriticalBatch)
    return found


@pytest.mark.parametrize("alpha", [0.8, 1.0, 1.3])
def test_half_and_exponent_are_found(alpha: float) -> None:
    found = fitted(points(alpha))
    assert found.half.kind is Kind.BOUNDED
    assert HALF in found.half.interval
    assert alpha in found.alpha.interval
    if alpha <= 1:  # above 1 the small batches scale better than perfectly
        assert found.overhead.value < found.half.value


def test_mccandlish_is_printed_only_where_the_exponent_is_shown_to_be_one() -> None:
    assert fitted(points(sd=0.1)).mccandlish.kind is Kind.NOT_IDENTIFIED
    precise = fitted(points(sd=0.004))
    assert precise.mccandlish.kind is Kind.BOUNDED
    assert HALF in precise.mccandlish.interval
    assert precise.mccandlish.interval.width < precise.half.interval.width


def test_small_batches_alone_leave_the_upper_end_open() -> None:
    found = fitted(points(sd=0.1, batches=BATCHES[:4] / 4))
    assert found.half.interval.high is None
    assert found.half.kind in (Kind.AT_LEAST, Kind.CENSORED_HIGH)


def test_a_censored_run_is_neither_dropped_nor_taken_as_reached() -> None:
    data = points()
    censored = np.arange(8) == 7
    short = StepsToTarget(
        batch=data.batch,
        steps=np.where(censored, data.steps * 3.0, data.steps),
        log_se=data.log_se,
        censored=censored,
    )
    without = StepsToTarget(
        batch=data.batch[:7], steps=data.steps[:7], log_se=data.log_se[:7], censored=censored[:7]
    )
    # Three times the steps and still not there: far from the law that the others follow.
    assert fitted(short).half.value < fitted(without).half.value
    theta = np.array([[np.log(HALF), 0.0]])
    vacuous = StepsToTarget(
        batch=data.batch,
        steps=np.where(censored, 1e-6, data.steps),
        log_se=data.log_se,
        censored=censored,
    )
    assert censored_deviance(vacuous, theta)[0] == pytest.approx(
        censored_deviance(without, theta)[0], rel=1e-9
    )


def test_regimes_follow_the_local_slope() -> None:
    regimes = fitted(points(sd=0.005, batches=2.0 ** np.arange(4, 21, 2))).regimes
    assert regimes[0].regime == "perfect"
    assert regimes[-1].regime == "maximal"
    assert {r.regime for r in fitted(points(sd=0.3)).regimes} >= {"undetermined"}


def test_batch_in_other_units_scales_the_answer() -> None:
    data = points()
    scaled = StepsToTarget(
        batch=data.batch * 4, steps=data.steps, log_se=data.log_se, censored=data.censored
    )
    assert fitted(scaled).half.value == pytest.approx(4 * fitted(data).half.value, rel=1e-6)


@pytest.mark.parametrize("reached", [0, 1, 3])
def test_too_few_batches_give_a_reason(reached: int) -> None:
    data = points()
    answer = fit_critical_batch(
        StepsToTarget(
            batch=data.batch,
            steps=data.steps,
            log_se=data.log_se,
            censored=np.arange(8) >= reached,
        )
    )
    assert isinstance(answer, Answer)
    assert answer.kind is Kind.NOT_IDENTIFIED


def test_steps_come_from_whole_schedules_and_unreached_batches_are_censored() -> None:
    steps = np.array([500.0, 1000, 2000, 500, 1000, 2000, 1000, 2000])
    batch = np.array([512, 512, 512, 1024, 1024, 1024, 4096, 4096.0])
    accuracy = 60 + 3 * np.log2(steps / 1000) + np.array([2, 2, 2, 9, 9, 9, -8, -8])
    table = Tuned(
        batch=batch,
        epochs=steps * batch / 50_000,
        steps=steps,
        accuracy=accuracy,
        weight=np.full(8, 3.0),
        lrs=np.ones(8),
        diverged=np.zeros(8),
    )
    found = steps_to_target(table, Noise(variance=0.04, nu=20, source="replicates"), 60.5)
    assert list(found.batch) == [512, 4096]  # 1024 is above the target from its shortest run on
    assert list(found.censored) == [False, True]
    assert found.steps[0] == pytest.approx(1000 * 2 ** (-1.5 / 3))
    assert found.steps[1] == pytest.approx(2000)
    assert found.log_se[0] == pytest.approx(np.sqrt(0.04 / 3 / 2) / (3 / np.log(2)))


@pytest.mark.parametrize(
    ("behind", "target_se", "censored"),
    [(1.0, 0.0, [True]), (0.1, 0.0, []), (0.3, 0.0, [True]), (0.3, 0.2, [])],
)
def test_a_batch_that_misses_the_target_by_noise_alone_is_not_said_to_need_more(
    behind: float, target_se: float, censored: list[bool]
) -> None:
    """Three seeds of sd 0.2: one-sided 95 % of t(20) is 0.2 points, 0.4 with the target's error."""
    ones = np.ones(2)
    table = Tuned(
        batch=512 * ones,
        epochs=np.array([10.0, 20.0]),
        steps=np.array([1000.0, 2000.0]),
        accuracy=np.array([58.0, 60.0 - behind]),
        weight=3 * ones,
        lrs=ones,
        diverged=0 * ones,
    )
    noise = Noise(variance=0.04, nu=20, source="replicates")
    found = steps_to_target(table, noise, 60.0, target_se)
    assert list(found.censored) == censored


def test_wall_clock_needs_measured_step_times() -> None:
    data = points(sd=0.01)
    times = {(BATCHES[0], 1): (0.1, 0.001), (BATCHES[4], 8): (0.12, 0.001), (7.0, 8): (1.0, 0.1)}
    entries = wall_clock(data, times)
    assert [entry.batch for entry in entries] == [BATCHES[4], BATCHES[0]]
    assert entries[0].hours == pytest.approx(data.steps[4] * 0.12 / 3600)
    ratio = speed_up(entries[0], entries[1])
    assert ratio.value == pytest.approx(entries[1].hours / entries[0].hours)
    assert ratio.value in ratio.interval
