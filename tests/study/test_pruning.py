"""A pruner asked about rebuilt studies decides as it would in one live Optuna study."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from runkit import CurveTrainer, finish, make_run, outcome_of, sampled

from lars_sweep.outcomes.loose import publish_outcome
from lars_sweep.rundir import attempts, claims
from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.plan import Plan, load_plan
from lars_sweep.study.prune import prune_rule
from lars_sweep.study.rebuild import study_name

K = 9
TRIALS = 12
PRUNERS = {
    "MedianPruner": {"n_startup_trials": 2, "n_warmup_steps": 1},
    "SuccessiveHalvingPruner": {"min_resource": 1, "reduction_factor": 2},
    "HyperbandPruner": {"min_resource": 1, "max_resource": K, "reduction_factor": 3},
}


def _run(directory: Path, name: str, options: dict[str, int]) -> RunDir:
    given = ", ".join(f"{key} = {value}" for key, value in options.items())
    pruner = f'pruner = {{name = "{name}"{", " if given else ""}{given}}}'
    return make_run(directory, sampled("random", TRIALS, extra=pruner), ["training.evaluations=9"])


def _curves() -> list[list[float]]:
    draw = random.Random(7)
    return [
        [10 + best * n / K + draw.uniform(-5, 5) for n in range(1, K + 1)]
        for best in (draw.uniform(0, 80) for _ in range(TRIALS))
    ]


def _order(how: str) -> Iterator[tuple[int, int]]:
    """(trial, evaluation) in the order in which they are measured."""
    if how == "one after another":
        yield from ((trial, n) for trial in range(TRIALS) for n in range(1, K + 1))
    else:
        yield from ((trial, n) for n in range(1, K + 1) for trial in range(TRIALS))


def _live(plan: Plan, name: str, how: str) -> dict[int, int]:
    """Optuna's own study: which trial it prunes at which evaluation."""
    pruner = getattr(optuna.pruners, name)(**PRUNERS[name])
    study = optuna.create_study(study_name=name, direction="maximize", pruner=pruner)
    curves = _curves()
    trials: list[optuna.Trial] = []
    pruned: dict[int, int] = {}
    for trial, n in _order(how):
        while len(trials) <= trial:
            trials.append(study.ask())
        if trial in pruned:
            continue
        trials[trial].report(curves[trial][n - 1], n)
        if trials[trial].should_prune():
            pruned[trial] = n
            study.tell(trials[trial], state=TrialState.PRUNED)
        elif n == K:
            study.tell(trials[trial], curves[trial][-1])
    return pruned


def _ours(run: RunDir, plan: Plan, how: str) -> dict[int, int]:
    """The same evaluations through claims, attempt logs and outcomes."""
    curves = _curves()
    pruned: dict[int, int] = {}
    for trial, n in _order(how):
        queued = plan.queue[trial]
        if trial in pruned:
            continue
        claims.take(run.claims, queued.trial_id, 1, "worker")
        seen = curves[trial][:n]
        log = run.attempt_log(queued.trial_id, 1)
        attempts.append(log, {"step": n, "val_accuracy": seen[-1], "test_accuracy": 0.0})
        rule = prune_rule(run, plan, queued)
        assert rule is not None
        if rule(dict(enumerate(seen, start=1))):
            pruned[trial] = n
            publish_outcome(run, outcome_of(plan, queued, seen, "pruned"))
        elif n == K:
            publish_outcome(run, outcome_of(plan, queued, seen))
    return pruned


@pytest.mark.parametrize("how", ["one after another", "side by side"])
@pytest.mark.parametrize("name", PRUNERS)
def test_decisions_agree_with_a_live_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, how: str
) -> None:
    run = _run(tmp_path, name, PRUNERS[name])
    # Hyperband draws brackets by study name and trial number.
    monkeypatch.setattr("lars_sweep.study.rebuild.study_name", lambda run, stratum: name)
    plan = load_plan(run)
    live = _live(plan, name, how)
    assert 0 < len(live) < TRIALS
    assert _ours(run, plan, how) == live


@pytest.mark.parametrize("name", ["SuccessiveHalvingPruner", "HyperbandPruner"])
def test_without_options_resources_are_the_evaluations_of_the_sweep(
    tmp_path: Path, name: str
) -> None:
    """Optuna would wait for a complete trial to learn what a sweep file says from the start."""
    run = _run(tmp_path, name, {})
    assert _ours(run, load_plan(run), "one after another")


def test_no_pruner_no_rule(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    plan = load_plan(run)
    assert prune_rule(run, plan, plan.queue[0]) is None


def test_a_worker_obeys_the_pruner(tmp_path: Path) -> None:
    run = _run(tmp_path, "ThresholdPruner", {"lower": 40})
    plan = load_plan(run)
    bad = {plan.queue[3].trial_id, plan.queue[5].trial_id}
    finish(run, CurveTrainer(lambda t: (50, 30, 60) if t.trial_id in bad else (50, 60, 70)))
    from lars_sweep.outcomes.store import load_table

    rows = {row["trial_id"]: row for row in load_table(run, "outcomes").to_pylist()}
    assert {trial_id for trial_id, row in rows.items() if row["status"] == "pruned"} == bad
    for trial_id in bad:
        row = rows[trial_id]
        assert (row["cause"], row["accuracy"], row["accuracy_at_stop"]) == ("pruner", None, 30.0)
        assert row["steps_done"] == 27  # 2 of 3 evaluations of 40 steps


def test_study_names_are_unique_to_run_and_stratum(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert study_name(run, "B64") == f"small@{run.run_id}/B64"
