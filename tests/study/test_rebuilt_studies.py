"""Studies are views of outcomes: every trial with its state, whoever asks, whenever."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from runkit import CurveTrainer, StopsAt, finish, make_run, sampled, worker_of

from lars_sweep.errors import RunError
from lars_sweep.outcomes.seal import seal_all
from lars_sweep.rundir import attempts, claims, requests
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.axes import Choices, Range
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import load_plan
from lars_sweep.study.project import export_to_optuna, load_study
from lars_sweep.study.rebuild import distributions


@pytest.fixture
def six(tmp_path: Path) -> tuple[RunDir, dict[str, FrozenTrial]]:
    """Six trials, one in each state; the study's trials by their state in the run."""
    run = make_run(tmp_path, sampled("random", 6))
    names = ["ok", "diverged", "failed", "pruned", "running", "waiting"]
    ids = dict(zip(names, [q.trial_id for q in load_plan(run).queue], strict=True))

    def status(trial: TrialSpec) -> str:
        if trial.trial_id == ids["failed"]:
            raise RuntimeError("no such layer")
        return "diverged" if trial.trial_id == ids["diverged"] else "ok"

    requests.request_prune(run, ids["pruned"], "test")
    claims.take(run.claims, ids["running"], 1, "elsewhere")
    attempts.append(
        run.attempt_log(ids["running"], 1),
        {"step": 2, "val_accuracy": 33.0, "test_accuracy": None},
    )
    claims.take(run.claims, ids["waiting"], 1, "elsewhere")
    finish(run, CurveTrainer(lambda trial: (40.0, 55.0), status=status))
    claims.drop(run.claims, ids["waiting"])
    study = load_study(run, load_plan(run).strata_names[0])
    by_id = {trial.user_attrs["trial_id"]: trial for trial in study.get_trials()}
    return run, {name: by_id[trial_id] for name, trial_id in ids.items()}


def test_every_state_has_its_counterpart(six: tuple[RunDir, dict[str, FrozenTrial]]) -> None:
    _, trials = six
    assert {name: trial.state for name, trial in trials.items()} == {
        "ok": TrialState.COMPLETE,
        "diverged": TrialState.COMPLETE,
        "failed": TrialState.FAIL,
        "pruned": TrialState.PRUNED,
        "running": TrialState.RUNNING,
        "waiting": TrialState.WAITING,
    }


def test_a_diverged_trial_ends_at_chance(six: tuple[RunDir, dict[str, FrozenTrial]]) -> None:
    _, trials = six
    assert (trials["ok"].value, trials["diverged"].value) == (55.0, 10.0)
    assert trials["failed"].value is None
    assert trials["diverged"].user_attrs["cause"] == "nonfinite"
    assert trials["failed"].user_attrs["cause"] == "RuntimeError: no such layer"


def test_curves_are_intermediate_values(six: tuple[RunDir, dict[str, FrozenTrial]]) -> None:
    _, trials = six
    assert trials["ok"].intermediate_values == {1: 40.0, 2: 55.0}
    assert trials["running"].intermediate_values == {1: 33.0}
    assert trials["waiting"].intermediate_values == {}


def test_numbers_are_places_in_the_queue(six: tuple[RunDir, dict[str, FrozenTrial]]) -> None:
    run, trials = six
    queue = load_plan(run).queue
    for trial in trials.values():
        queued = queue[trial.number]
        assert trial.user_attrs["trial_id"] == queued.trial_id
        assert trial.params == queued.params
        assert (trial.user_attrs["seed"], trial.user_attrs["point"]) == (0, queued.point)


def test_the_study_answers_what_users_ask(six: tuple[RunDir, dict[str, FrozenTrial]]) -> None:
    run, _ = six
    study = load_study(run, load_plan(run).strata_names[0])
    assert study.study_name == f"drawn@{run.run_id}/{load_plan(run).strata_names[0]}"
    assert study.direction.name == "MAXIMIZE"
    assert study.best_value == 55.0
    assert len(study.trials_dataframe()) == 6


def test_sealing_changes_nothing(six: tuple[RunDir, dict[str, FrozenTrial]]) -> None:
    run, trials = six
    seal_all(run)
    study = load_study(run, load_plan(run).strata_names[0])
    again = {t.user_attrs["trial_id"]: t for t in study.get_trials()}
    for trial in trials.values():
        other = again[trial.user_attrs["trial_id"]]
        assert (other.state, other.values, other.params) == (
            trial.state, trial.values, trial.params,
        )  # fmt: skip
        assert other.intermediate_values == trial.intermediate_values


def test_an_unknown_stratum_is_refused_with_those_there_are(run: RunDir) -> None:
    with pytest.raises(RunError, match=r"no stratum 'B1'; it has: small_alexnet_bn-sgd-B64-E2, "):
        load_study(run, "B1")


def test_a_stopped_trial_is_still_running_to_optuna(tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("random", 3))
    worker_of(run, StopsAt(run, 2)).work()
    study = load_study(run, load_plan(run).strata_names[0])
    assert [t.state.name for t in study.get_trials()] == ["COMPLETE", "RUNNING", "WAITING"]


def test_dimensions_become_distributions() -> None:
    made = distributions(
        [
            Range("lr", 0.1, 10, log=True, integer=False),
            Range("momentum", 0, 0.9, log=False, integer=False),
            Range("warmup_steps", 1, 64, log=True, integer=True),
            Choices("nesterov", (False, True)),
            Choices("milestones", ((0.5, 0.75), (0.9,))),
        ]
    )
    assert made == {
        "lr": optuna.distributions.FloatDistribution(0.1, 10, log=True),
        "momentum": optuna.distributions.FloatDistribution(0, 0.9),
        "warmup_steps": optuna.distributions.IntDistribution(1, 64, log=True),
        "nesterov": optuna.distributions.CategoricalDistribution([False, True]),
        "milestones": optuna.distributions.CategoricalDistribution(
            [json.dumps([0.5, 0.75]), json.dumps([0.9])]
        ),
    }


# ── export


def _exported(url: str) -> dict[str, list[FrozenTrial]]:
    storage = optuna.storages.RDBStorage(url)
    try:
        return {
            name: optuna.load_study(study_name=name, storage=storage).get_trials()
            for name in optuna.get_all_study_names(storage)
        }
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _export_and_check(run: RunDir, url: str) -> None:
    finish(run)
    names = [f"small@{run.run_id}/{name}" for name in load_plan(run).strata_names]
    assert list(export_to_optuna(run, url)) == [(name, 6) for name in names]
    assert list(export_to_optuna(run, url)) == [(name, 0) for name in names]
    exported = _exported(url)
    assert sorted(exported) == sorted(names)
    for name in names:
        source = load_study(run, name.partition("/")[2]).get_trials()
        for ours, theirs in zip(source, exported[name], strict=True):
            assert (theirs.state, theirs.values, theirs.params) == (
                ours.state, ours.values, ours.params,
            )  # fmt: skip
            assert theirs.user_attrs == ours.user_attrs
            assert theirs.intermediate_values == ours.intermediate_values
            assert theirs.distributions == ours.distributions


def test_export_to_sqlite_is_complete_and_repeatable(run: RunDir, tmp_path: Path) -> None:
    _export_and_check(run, f"sqlite:///{tmp_path}/study.db")


def test_export_to_postgresql_is_complete_and_repeatable(run: RunDir, postgresql: str) -> None:
    _export_and_check(run, postgresql)


def test_export_while_the_run_goes_on_adds_what_is_new(tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("random", 4))
    url = f"sqlite:///{tmp_path}/study.db"
    worker_of(run, StopsAt(run, 3)).work()
    (first,) = export_to_optuna(run, url)
    requests.withdraw_stop(run)
    finish(run)
    (second,) = export_to_optuna(run, url)
    assert (first[1], second[1]) == (2, 2)
    (trials,) = _exported(url).values()
    assert len({trial.user_attrs["trial_id"] for trial in trials}) == 4


def test_two_runs_share_a_storage(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    for name in ("a", "b"):
        run = make_run(tmp_path / name, sampled("random", 2))
        finish(run)
        list(export_to_optuna(run, url))
    assert [len(trials) for trials in _exported(url).values()] == [2, 2]


@pytest.mark.parametrize("url", ["nosuch://x", "sqlite:////no/such/directory/study.db"])
def test_a_storage_that_does_not_open_is_explained(run: RunDir, url: str) -> None:
    with pytest.raises(RunError, match=r"cannot open Optuna storage (.|\n)* allowed: a SQLAlchemy"):
        list(export_to_optuna(run, url))
