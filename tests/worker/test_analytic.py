"""The analytic trainer: a function of the trial, through the control plane, marked everywhere."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path

import pytest
from runkit import GRID, plan_of, worker_of

from lars_sweep.dispatch.prune import prune
from lars_sweep.dispatch.status import run_status
from lars_sweep.errors import RunError
from lars_sweep.outcomes.store import load_table
from lars_sweep.report import report_run
from lars_sweep.rundir import requests
from lars_sweep.rundir.layout import RunDir, create_run, open_run
from lars_sweep.spec.strata import DataFacts
from lars_sweep.spec.trainer import Control, Evaluation, Signal, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import plan_content
from lars_sweep.train.schedules import lr_integral
from lars_sweep.worker.analytic import MARK, AnalyticTrainer, fate_of

FACTS = DataFacts(content_id="SIMULATED", train_samples=1536)
LRS = "base_lr = { log = [0.01, 20], points = 6 }"
SHORT = GRID.replace("bn_batch = 32", "bn_batch = 32\nevaluations = 5")
SWEEP = SHORT.replace("base_lr = [0.1, 0.2, 0.4]", LRS).replace('"sgd"', '["sgd", "lars"]')


class Free:
    """A control that stops at the n-th evaluation, if at any."""

    checkpoint_dir = None

    def __init__(self, stop_at: int | None = None, signal: Signal = Signal.PREEMPTED) -> None:
        self.left, self.signal = stop_at, signal

    def at_step(self, steps_done: int) -> Signal:
        return Signal.GO_ON

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        if self.left is not None:
            self.left -= 1
        return self.signal if self.left == 0 else Signal.GO_ON


def train(trial: TrialSpec, control: Control | None = None) -> TrialResult:
    return AnalyticTrainer().train(trial, control or Free())


@pytest.fixture
def trials(tmp_path: Path) -> list[TrialSpec]:
    plan = plan_of(tmp_path, SWEEP, facts=FACTS)
    return [plan.trial(queued) for queued in plan.queue]


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    content = plan_content(plan_of(tmp_path, SWEEP, facts=FACTS), trainer="analytic")
    return create_run(tmp_path / "run", content | {"sweep": "SIMULATED-small"})


def table(run: RunDir, *drop: str) -> list[dict[str, object]]:
    rows = load_table(run, "outcomes").drop_columns(list(drop)).to_pylist()
    return sorted(rows, key=lambda row: str(row["trial_id"]))


TIMES = ("attempts", "started_at", "finished_at")


def test_a_trial_ends_the_same_wherever_it_runs(trials: list[TrialSpec]) -> None:
    assert [train(trial) for trial in trials] == [train(trial) for trial in trials]
    ends = {train(trial).status for trial in trials}
    assert ends == {"ok", "diverged"}


def test_seeds_scatter_by_the_stated_sigma(trials: list[TrialSpec]) -> None:
    ok = next(t for t in trials if train(t).status == "ok")
    fates = [fate_of(replace(ok, seed=seed)) for seed in range(2000)]
    finished = [fate.accuracy for fate in fates if fate.diverges_after is None]
    assert statistics.stdev(finished) == pytest.approx(0.25, rel=0.08)


def test_paired_seeds_share_half_of_their_noise(trials: list[TrialSpec]) -> None:
    one = next(t for t in trials if train(t).status == "ok" and fate_of(t).octaves < 0)
    other = replace(one, weight_decay=0.0)  # the surface does not know it
    pairs = [
        (fate_of(replace(one, seed=s)).accuracy, fate_of(replace(other, seed=s)).accuracy)
        for s in range(2000)
    ]
    assert statistics.correlation(*zip(*pairs, strict=True)) == pytest.approx(0.5, abs=0.06)


def test_a_high_learning_rate_looks_worse_before_it_has_decayed(trials: list[TrialSpec]) -> None:
    lars = [t for t in trials if t.optimizer == "lars" and fate_of(t).diverges_after is None]
    good = min(lars, key=lambda t: abs(fate_of(t).octaves))
    high = replace(good, base_lr=good.base_lr * 1.5)
    assert fate_of(high).diverges_after is None
    behind = [
        (a.val_accuracy or 0.0) - (b.val_accuracy or 0.0)
        for a, b in zip(train(good).evaluations, train(high).evaluations, strict=True)
    ]
    assert max(behind[: len(behind) // 2]) > behind[-1] + 0.5


def test_what_counts_is_the_product_of_lr_and_trust_over_one_minus_momentum(
    trials: list[TrialSpec],
) -> None:
    lars = next(t for t in trials if t.optimizer == "lars")
    eta = lars.trust_coefficient or 0.0
    same = (
        replace(lars, base_lr=2 * lars.base_lr, trust_coefficient=eta / 2),
        replace(lars, base_lr=2 * lars.base_lr, momentum=0.8),
    )
    assert [fate_of(t).octaves for t in same] == pytest.approx([fate_of(lars).octaves] * 2)
    sgd = next(t for t in trials if t.optimizer == "sgd" and t.base_lr == lars.base_lr)
    assert fate_of(sgd).octaves > fate_of(lars).octaves + 3


@pytest.mark.parametrize("schedule", ["poly", "cosine", "constant"])
def test_the_lr_integral_is_that_of_the_schedule(trials: list[TrialSpec], schedule: str) -> None:
    trial = replace(trials[0], schedule=schedule, epochs=60, warmup_steps=120, evaluations=20)
    result = train(trial, Free(15))
    assert result.steps_done > 500  # more than the points it is summed at
    exact = lr_integral(trial, result.steps_done)
    assert result.lr_integral == pytest.approx(exact, rel=2e-3)


def test_a_signal_ends_it_and_a_later_attempt_repeats_it(trials: list[TrialSpec]) -> None:
    trial = next(t for t in trials if train(t).status == "ok")
    cut, pruned = train(trial, Free(3)), train(trial, Free(3, Signal.PRUNE))
    assert (cut.status, pruned.status) == ("interrupted", "pruned")
    assert cut.steps_done == trial.evaluation_steps[2]
    assert train(trial).evaluations[:3] == cut.evaluations


def test_a_run_is_marked_in_every_place(tmp_path: Path) -> None:
    content = plan_content(plan_of(tmp_path, SHORT, facts=FACTS), trainer="analytic")
    run = create_run(tmp_path / "run", content | {"sweep": "SIMULATED-small"})
    worker_of(run, AnalyticTrainer()).work()
    rows = table(run)
    assert {row["device"] for row in rows} == {MARK}
    assert all(MARK in str(row["versions"]) for row in rows)
    assert {row["sweep"] for row in rows} == {"SIMULATED-small"}
    assert any(note.startswith("SIMULATED") for note in run_status(run).notes)
    page = report_run(run, run.report).read_text()
    assert "SIMULATED-small" in page
    assert MARK in page


def test_durations_are_stated_not_slept(run: RunDir) -> None:
    worker_of(run, AnalyticTrainer()).work()
    for row in table(run):
        assert row["wall_s"] > row["images_seen"] / 2000  # type: ignore[operator]
        took = row["finished_at"] - row["started_at"]  # type: ignore[operator]
        assert took.total_seconds() < row["wall_s"]


def test_an_interrupted_run_goes_on_to_the_same_outcomes(run: RunDir, tmp_path: Path) -> None:
    whole = create_run(
        tmp_path / "whole", {k: v for k, v in run.content.items() if k not in ("run_id",)}
    )
    worker_of(whole, AnalyticTrainer()).work()

    class Stopper(AnalyticTrainer):
        seen = 0

        def train(self, trial: TrialSpec, control: Control) -> TrialResult:
            self.seen += 1
            if self.seen == 10:
                requests.request_stop(run, "test")
            return super().train(trial, control)

    worker_of(run, Stopper()).work()
    done = len(table(run))
    assert 9 <= done < len(table(whole))
    requests.withdraw_stop(run)
    worker_of(open_run(run.path), AnalyticTrainer()).work()
    assert table(run, *TIMES) == table(whole, *TIMES)


def test_prune_stops_simulated_trials(run: RunDir) -> None:
    asked = prune(run, where="global_batch == 64 and base_lr > 5")
    worker_of(run, AnalyticTrainer()).work()
    pruned = {row["trial_id"] for row in table(run) if row["status"] == "pruned"}
    assert pruned == {one.trial_id for one in asked}
    assert pruned


def test_a_pruner_censors_simulated_trials(tmp_path: Path) -> None:
    text = SHORT.replace("[64, 128]", "64").replace("base_lr = [0.1, 0.2, 0.4]", LRS)
    text += '[strategy]\npruner = { name = "MedianPruner", n_startup_trials = 2 }\n'
    content = plan_content(plan_of(tmp_path, text, facts=FACTS), trainer="analytic")
    pruned = create_run(tmp_path / "run", content)
    worker_of(pruned, AnalyticTrainer()).work()
    assert {row["status"] for row in table(pruned)} >= {"ok", "pruned"}


def test_a_simulated_directory_takes_no_other_trainer(run: RunDir, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SWEEP, facts=FACTS)
    with pytest.raises(RunError, match=r"launched with other trainer \(analytic, not torch\)"):
        create_run(run.path, plan_content(plan, trainer="torch"))
