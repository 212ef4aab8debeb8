"""`resume --retry-failed`: failed outcomes make room for the next ones, whatever dies when."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from runkit import CurveTrainer, make_run, sampled

from lars_sweep.cluster.profile import RetrySection
from lars_sweep.dispatch.again import retry_failed
from lars_sweep.dispatch.gc import collect_garbage
from lars_sweep.dispatch.status import run_status
from lars_sweep.dispatch.why import why
from lars_sweep.errors import SpecError
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import claims, publish
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.trainer import Signal
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.asked import known_queue
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.noop import NoopTrainer
from lars_sweep.worker.order import WorkOrder
from lars_sweep.worker.worker import WorkerProcess


def worker_of(run: RunDir, trainer: Any) -> WorkerProcess:
    """A worker that no row of failures stops."""
    order = WorkOrder(run=run.path, executor="local", retry=RetrySection(stop_after=99))
    return WorkerProcess(run, trainer, lambda: Signal.GO_ON, "local", "1", order=order)


def finish(run: RunDir, trainer: Any = None) -> str:
    return worker_of(run, trainer or NoopTrainer()).work()


class Failing(CurveTrainer):
    """Trials of one base LR fail, after one evaluation and with a checkpoint; none if None."""

    def __init__(self, base_lr: float | None, error: str = "planted") -> None:
        super().__init__(at_evaluation=self._at_evaluation)
        self._base_lr, self._error = base_lr, error
        self.trained: list[str] = []
        self.found: dict[str, list[str]] = {}

    def train(self, trial: TrialSpec, control: Any) -> Any:
        self.trained.append(trial.trial_id)
        directory = control.checkpoint_dir
        self.found[trial.trial_id] = sorted(path.name for path in directory.iterdir())
        (directory / "1.pt").write_bytes(b"weights")
        return super().train(trial, control)

    def _at_evaluation(self, trial: TrialSpec, number: int) -> None:
        if trial.base_lr == self._base_lr and number == 2:
            raise ValueError(self._error)


def rows(run: RunDir, *columns: str) -> dict[str, tuple[Any, ...]]:
    table = load_table(run, "outcomes", columns).to_pylist()
    return {row["trial_id"]: tuple(row[name] for name in columns) for row in table}


def ids(run: RunDir, status: str) -> set[str]:
    return {trial_id for trial_id, (said,) in rows(run, "status").items() if said == status}


def test_failed_trials_run_again_and_nothing_else_does(run: RunDir) -> None:
    finish(run, Failing(0.4))
    failed = ids(run, "failed")
    before = rows(run, "attempts", "wall_s", "started_at")
    assert len(failed) == 4
    assert {before[trial_id][0] for trial_id in failed} == {2}, "an error is tried twice"
    assert retry_failed(run) == 4
    status = run_status(run)
    assert (status.finished, status.count("interrupted")) == (8, 4)
    assert status.interrupted_by == {"to be tried again": 4}
    story = why(run, min(failed))
    assert story.state == "to be tried again"
    assert "ValueError: planted" in story.lines[-1]
    trainer = Failing(None)
    finish(run, trainer)
    assert set(trainer.trained) == failed
    assert len(trainer.trained) == 4
    assert ids(run, "ok") == {queued.trial_id for queued in load_plan(run).queue}
    after = rows(run, "attempts", "wall_s", "started_at")
    for trial_id in failed:
        assert after[trial_id][0] == 3
        assert after[trial_id][1] > before[trial_id][1]
        assert after[trial_id][2] == before[trial_id][2]
    assert publish.names(run.claims) == []


def test_they_go_on_from_their_checkpoints_until_gc(run: RunDir) -> None:
    finish(run, Failing(0.4))
    failed = ids(run, "failed")
    assert {path.name for path in (run.path / "checkpoints").iterdir()} == failed
    retry_failed(run)
    trainer = Failing(None)
    finish(run, trainer)
    assert trainer.found == {trial_id: ["1.pt"] for trial_id in failed}
    assert list((run.path / "checkpoints").iterdir()) == []


def test_without_checkpoints_they_begin_anew(run: RunDir) -> None:
    finish(run, Failing(0.4))
    collect_garbage(run, older_than_s=0.0)
    retry_failed(run)
    trainer = Failing(None)
    finish(run, trainer)
    assert list(trainer.found.values()) == [[]] * 4
    assert len(ids(run, "ok")) == 12


def test_only_those_of_one_cause(run: RunDir) -> None:
    def error(trial: TrialSpec, number: int) -> None:
        if trial.base_lr == 0.4:
            raise MemoryError("too large")
        if trial.base_lr == 0.1:
            raise ValueError("planted")

    finish(run, CurveTrainer(at_evaluation=error))
    assert run_status(run).failed_by == {"MemoryError: too large": 4, "ValueError: planted": 4}
    assert retry_failed(run, cause="valueerror") == 4
    assert run_status(run).failed_by == {"MemoryError: too large": 4}
    with pytest.raises(SpecError, match=r"--cause 'disk'.* there are: 'MemoryError: too large' \("):
        retry_failed(run, cause="disk")


def test_a_run_without_failures(run: RunDir) -> None:
    finish(run)
    parts = publish.names(run.parts("outcomes"))
    assert retry_failed(run) == 0
    assert publish.names(run.parts("outcomes")) == parts
    with pytest.raises(SpecError, match="no trial has failed"):
        retry_failed(run, cause="x")


def test_a_trial_that_fails_again_counts_on(run: RunDir) -> None:
    finish(run, Failing(0.4))
    for attempts in (2, 4, 6):
        assert {rows(run, "attempts")[trial][0] for trial in ids(run, "failed")} == {attempts}
        assert retry_failed(run) == 4
        finish(run, Failing(0.4))


def test_a_worker_that_knew_them_as_finished_takes_them_too(run: RunDir) -> None:
    """And does not believe that no work is left, which would cancel its successors."""
    finish(run, Failing(0.4))
    old = worker_of(run, Failing(None))
    assert old._source.all_finished()
    retry_failed(run)
    assert not old._source.all_finished()
    old.work()
    assert len(ids(run, "ok")) == 12


def test_asked_points_keep_their_parameters(tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("tpe", 4))

    def error(trial: TrialSpec, number: int) -> None:
        raise ValueError("planted")

    finish(run, CurveTrainer(at_evaluation=error))
    plan = load_plan(run)
    before = known_queue(run, plan)
    assert (len(before), len(ids(run, "failed")), publish.names(run.points)) == (4, 4, [])
    assert retry_failed(run) == 4
    assert known_queue(run, plan) == before
    finish(run)
    assert ids(run, "ok") == {queued.trial_id for queued in before}


@pytest.mark.parametrize("failpoint", ["part-written:1", "part-published"])
def test_a_kill_in_between_loses_nothing(run: RunDir, failpoint: str) -> None:
    finish(run, Failing(0.4))
    failed, all_ids = ids(run, "failed"), set(rows(run, "status"))
    assert _resume(run, failpoint).returncode == -9
    assert set(rows(run, "status")) == all_ids, "the outcomes stand"
    assert ids(run, "failed") == failed
    assert claims.holdings(run.claims).keys() == failed
    finish(run)
    assert (ids(run, "failed"), publish.names(run.claims)) == (failed, [])
    assert retry_failed(run) == 4
    trainer = Failing(None)
    finish(run, trainer)
    assert set(trainer.trained) == failed
    assert {rows(run, "attempts")[trial][0] for trial in failed} == {3}
    assert load_table(run, "outcomes").num_rows == 12


def _resume(run: RunDir, failpoint: str) -> subprocess.CompletedProcess[bytes]:
    command: Sequence[str] = [sys.executable, "-m", "lars_sweep", "resume", str(run.path)]
    environment = {**os.environ, "LARS_SWEEP_FAILPOINT": failpoint}
    return subprocess.run(
        [*command, "--retry-failed"], env=environment, capture_output=True, check=False
    )
