"""Adaptive strategies: the number of points is exact and no two share a random stream."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import optuna
import pytest
from runkit import StopsAt, files_in, finish, in_parallel, make_run, sampled, worker_of

from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import publish, requests
from lars_sweep.rundir.layout import RunDir, open_run
from lars_sweep.spec.axes import Choices
from lars_sweep.study.ask import ask
from lars_sweep.study.asked import AskedPoint, asked_points, known_queue, publish_point
from lars_sweep.study.plan import load_plan
from lars_sweep.study.points import stream_seed
from lars_sweep.study.rebuild import distributions

STARTING = "sampler = {n_startup_trials = 4}"


def _ask_all(path: Path) -> int:
    run = open_run(path)
    plan = load_plan(run)
    asked = 0
    while ask(run, plan):
        asked += 1
    return asked


def _work_all(path: Path) -> None:
    finish(open_run(path))


def _params(run: RunDir) -> list[float]:
    points = asked_points(run)[load_plan(run).strata_names[0]]
    return [float(point.params["base_lr"]) for point in points]


@pytest.mark.parametrize("function", [_ask_all, _work_all])
def test_eight_processes_give_out_exactly_n_points(tmp_path: Path, function: object) -> None:
    run = make_run(tmp_path, sampled("tpe", 10, seeds=2, extra=STARTING))
    in_parallel(function, [(run.path,)] * 8)  # type: ignore[arg-type]
    plan = load_plan(run)
    (points,) = asked_points(run).values()
    assert [point.number for point in points] == list(range(10))
    assert len({(p.params["base_lr"], p.params["momentum"]) for p in points}) == 10
    finish(run)
    rows = load_table(run, "outcomes", ["point"]).to_pylist()
    assert Counter(row["point"] for row in rows) == dict.fromkeys(range(10), 2)
    assert len({row["trial_id"] for row in rows}) == plan.total_trials == 20


def test_startup_draws_are_functions_of_seed_stratum_and_number(tmp_path: Path) -> None:
    """Asked all at once or one after another, by one worker or many: the same random draws."""
    together = make_run(tmp_path / "a", sampled("tpe", 4, extra=STARTING))
    _ask_all(together.path)
    one_by_one = make_run(tmp_path / "b", sampled("tpe", 4, extra=STARTING))
    finish(one_by_one)
    assert _params(together) == _params(one_by_one)
    assert len(set(_params(together))) == 4


def test_a_restarted_sampler_does_not_repeat_its_draws(tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("tpe", 6, extra="sampler = {n_startup_trials = 100}"))
    for _ in range(6):  # each ask is a sampler made anew
        ask(open_run(run.path), load_plan(run))
    assert len(set(_params(run))) == 6


def test_strata_take_turns_and_draw_their_own(tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("tpe", 3, extra=STARTING), ["space.global_batch=[64, 128]"])
    plan = load_plan(run)
    given = []
    while ask(run, plan):
        points = asked_points(run)
        given.append(tuple(len(points.get(name, ())) for name in plan.strata_names))
    assert given == [(1, 0), (1, 1), (2, 1), (2, 2), (3, 2), (3, 3)]
    first, second = ({p.params["base_lr"] for p in points} for points in asked_points(run).values())
    assert not first & second


@pytest.mark.parametrize("best", [0.1, 5.0])
def test_the_next_point_is_the_one_that_a_live_study_would_ask(tmp_path: Path, best: float) -> None:
    run = make_run(tmp_path, sampled("tpe", 9, extra=STARTING))
    plan = load_plan(run)

    def accuracy(lr: float) -> float:
        return 90 - 20 * abs(math.log10(lr / best))

    worker_of(run, StopsAt(run, 9, lambda trial: (accuracy(trial.base_lr),))).work()
    *done, last = asked_points(run)[plan.strata_names[0]]

    live = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(
            n_startup_trials=4, seed=stream_seed(0, plan.strata_names[0], 8) % 2**32
        ),
    )
    space = distributions(plan.strata[plan.strata_names[0]].dimensions)
    for point in done:
        value = accuracy(point.params["base_lr"])
        live.add_trial(
            optuna.trial.create_trial(value=value, params=dict(point.params), distributions=space)
        )
    assert live.ask(space).params == last.params


@pytest.mark.parametrize("kind", ["tpe", "gp"])
def test_an_adaptive_run_is_finished_by_one_worker(tmp_path: Path, kind: str) -> None:
    run = make_run(tmp_path, sampled(kind, 3, seeds=2))
    assert finish(run) == "no work left"
    assert load_table(run, "outcomes").num_rows == 6
    assert not any(name.startswith("points/") for name in files_in(run))
    assert finish(run) == "no work left"
    assert load_table(run, "outcomes").num_rows == 6


def test_sealed_points_are_known_from_their_outcomes(tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("tpe", 3))
    _ask_all(run.path)
    before = asked_points(run)
    finish(run)
    assert publish.names(run.points) == []
    assert asked_points(run) == before
    assert not ask(run, load_plan(run))


def test_a_number_given_out_once_more_after_sealing_is_no_new_point(tmp_path: Path) -> None:
    """A worker that slept since before the last point was published publishes its own."""
    run = make_run(tmp_path, sampled("tpe", 2))
    finish(run)
    plan = load_plan(run)
    before = known_queue(run, plan)
    late = AskedPoint(plan.strata_names[0], 1, {"base_lr": 0.123, "momentum": 0.9})
    assert publish_point(run, late)  # the file of point 1 has gone
    assert known_queue(run, plan) == before
    finish(run)
    assert load_table(run, "outcomes").num_rows == 2
    assert publish.names(run.points) == []


def test_only_one_publishes_a_number(tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("tpe", 2))
    name = load_plan(run).strata_names[0]
    assert publish_point(run, AskedPoint(name, 0, {"base_lr": 0.1, "momentum": 0.9}))
    assert not publish_point(run, AskedPoint(name, 0, {"base_lr": 0.2, "momentum": 0.9}))
    assert _params(run) == [0.1]


def test_choices_come_back_as_the_sweep_file_gave_them(tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("tpe", 4), ['space.schedule=["poly", "cosine"]'])
    finish(run)
    plan = load_plan(run)
    dimensions = plan.strata[plan.strata_names[0]].dimensions
    for queued in known_queue(run, plan):
        for dimension in dimensions:
            if isinstance(dimension, Choices):
                assert queued.params[dimension.name] in dimension.values


def test_a_stopped_worker_asks_for_nothing_more(tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("tpe", 3))
    requests.request_stop(run, "test")
    assert worker_of(run).work() == "cancelled"
    assert asked_points(run) == {}
