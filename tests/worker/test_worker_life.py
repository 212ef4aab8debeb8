"""A worker takes trials until work or time is over, and nothing is lost however it ends."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runkit import CurveTrainer, StopsAt, finish, make_run, worker_of

from lars_sweep.errors import DataError, RunError, TrainError
from lars_sweep.outcomes.loose import loose_ids
from lars_sweep.outcomes.seal import seal_all
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import attempts, claims, publish, requests, workers
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.trainer import Control, Signal, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import load_plan
from lars_sweep.worker import exits
from lars_sweep.worker.ending import JobEnd


def rows_of(run: RunDir) -> dict[str, dict[str, object]]:
    return {row["trial_id"]: row for row in load_table(run, "outcomes").to_pylist()}


def first(run: RunDir) -> str:
    return load_plan(run).queue[0].trial_id


def test_a_worker_runs_everything_then_seals_and_says_so(run: RunDir) -> None:
    assert finish(run) == "no work left"
    assert len(rows_of(run)) == 12
    assert loose_ids(run) == []
    (record,) = workers.read_workers(run.workers)
    assert (record.state, record.trials_done, record.trial_id) == ("ended: no work left", 12, None)
    assert record.devices == 1


def test_a_finished_run_has_nothing_for_a_second_worker(run: RunDir) -> None:
    finish(run)
    before = rows_of(run)
    assert finish(run) == "no work left"
    assert rows_of(run) == before


def test_a_worker_that_starts_while_all_is_taken_ends(run: RunDir) -> None:
    for queued in load_plan(run).queue:
        claims.take(run.claims, queued.trial_id, 1, "elsewhere")
    assert finish(run) == "no trial to take"


def test_finished_trials_are_sealed_some_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lars_sweep.worker.worker.SEAL_EVERY", 5)
    # The first time comes by chance: between 5 and 9.
    monkeypatch.setattr("random.randrange", lambda low, high: low + high - 8)
    run = make_run(tmp_path)
    loose: list[int] = []

    def look(trial: TrialSpec, number: int) -> None:
        loose.append(len(loose_ids(run)))

    finish(run, CurveTrainer(lambda trial: (1.0,), at_evaluation=look))
    assert loose == [*range(7), *range(5)]


# ── failures


@pytest.mark.parametrize("error", [RuntimeError, MemoryError])
def test_a_trial_that_fails_twice_is_failed_and_the_others_go_on(
    run: RunDir, error: type[Exception]
) -> None:
    def fail(trial: TrialSpec, number: int) -> None:
        if trial.trial_id == first(run):
            raise error("no such layer\nsecond line")

    finish(run, CurveTrainer(at_evaluation=fail))
    rows = rows_of(run)
    failed = rows.pop(first(run))
    assert (failed["status"], failed["cause"]) == ("failed", f"{error.__name__}: no such layer")
    assert (failed["attempts"], failed["accuracy"]) == (2, None)
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert len(rows) == 11


def test_an_error_that_was_the_nodes_is_forgotten(run: RunDir) -> None:
    failures = iter([RuntimeError("lost the card")])

    def fail_once(trial: TrialSpec, number: int) -> None:
        if trial.trial_id == first(run):
            for error in failures:
                raise error

    finish(run, CurveTrainer(at_evaluation=fail_once))
    row = rows_of(run)[first(run)]
    assert (row["status"], row["cause"], row["attempts"]) == ("ok", None, 2)


def test_a_result_that_breaks_the_schema_fails_its_trial_only(run: RunDir) -> None:
    class Broken(CurveTrainer):
        def train(self, trial: TrialSpec, control: Control) -> TrialResult:
            result = super().train(trial, control)
            if trial.trial_id == first(run):
                object.__setattr__(result.evaluations[0], "lr", None)
            return result

    finish(run, Broken())
    row = rows_of(run)[first(run)]
    assert (row["status"], row["cause"]) == ("failed", "ValueError: curves.lr is null")
    assert len(rows_of(run)) == 12


def test_a_run_directory_that_fails_ends_the_worker_and_keeps_what_is_measured(
    run: RunDir,
) -> None:
    def fail(trial: TrialSpec, number: int) -> None:
        if len(loose_ids(run)) == 3:
            raise RunError("the disk is full")

    with pytest.raises(RunError, match="the disk is full"):
        finish(run, CurveTrainer(at_evaluation=fail))
    (record,) = workers.read_workers(run.workers)
    assert record.state == "ended: error"
    before = rows_of(run)
    assert len(before) == 3
    finish(run)
    assert {trial_id: rows_of(run)[trial_id] for trial_id in before} == before
    assert len(rows_of(run)) == 12


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_in_a_trial_ends_the_worker_at_once(run: RunDir, wrapped: bool) -> None:
    def fail(trial: TrialSpec, number: int) -> None:
        full = OSError(errno.ENOSPC, "No space left on device")
        if wrapped:
            raise TrainError("no place for its tables") from full
        raise full

    with pytest.raises(RunError) as raised:
        finish(run, CurveTrainer(at_evaluation=fail))
    assert exits.status_of(raised.value) == exits.DISK
    held = claims.holdings(run.claims)
    assert [(trial_id, holding.released) for trial_id, holding in held.items()] == [
        (first(run), True)
    ], "one attempt, given back"
    said = claims.read_release(run.claims, first(run), 1)
    assert said is not None
    assert said.cause is Cause.DISK
    (record,) = workers.read_workers(run.workers)
    assert record.state == "ended: disk or quota"
    finish(run)
    assert {row["status"] for row in rows_of(run).values()} == {"ok"}


def test_missing_data_end_the_worker_and_are_no_trials_fault(run: RunDir) -> None:
    def fail(trial: TrialSpec, number: int) -> None:
        if len(loose_ids(run)) == 3:
            raise DataError("no such directory; name it with --data-dir")

    for _ in range(4):  # more often than the profile would retry
        with pytest.raises(DataError, match="no such directory"):
            finish(run, CurveTrainer(at_evaluation=fail))
    assert len(rows_of(run)) == 3
    seal_all(run)
    finish(run)
    assert {row["status"] for row in rows_of(run).values()} == {"ok"}
    assert len(rows_of(run)) == 12


def test_a_full_disk_ends_the_worker_and_resume_goes_on(
    tmpfs: Callable[[str], Path],
) -> None:
    place = tmpfs("size=512k")
    run = make_run(place, overrides=["space.base_lr={log = [0.001, 10], points = 60}"])
    with pytest.raises(RunError, match="the disk is full; free some"):
        finish(run, CurveTrainer(lambda trial: tuple(range(1, 41))))
    measured = rows_of(run)
    assert 0 < len(measured) < 240
    import subprocess

    subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
    assert finish(run, CurveTrainer(lambda trial: tuple(range(1, 41)))) == "no work left"
    rows = rows_of(run)
    assert len(rows) == 240
    assert {trial_id: rows[trial_id] for trial_id in measured} == measured


# ── requests


def test_a_stop_is_obeyed_and_resumed(run: RunDir) -> None:
    assert worker_of(run, StopsAt(run, 4)).work() == "cancelled"
    assert len(rows_of(run)) == 3
    assert claims.holdings(run.claims)[load_plan(run).queue[3].trial_id].released
    requests.withdraw_stop(run)
    finish(run)
    assert len(rows_of(run)) == 12
    assert rows_of(run)[load_plan(run).queue[3].trial_id]["attempts"] == 2


def test_a_waiting_trial_can_be_pruned(run: RunDir) -> None:
    requests.request_prune(run, first(run), "too expensive")
    finish(run)
    row = rows_of(run)[first(run)]
    assert (row["status"], row["cause"], row["steps_done"]) == ("pruned", "user", 0)
    assert row["accuracy"] is row["accuracy_at_stop"] is None


def test_a_running_trial_can_be_pruned(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lars_sweep.worker.control.BEAT_S", 0.0)

    def ask(trial: TrialSpec, number: int) -> None:
        if number == 3 and trial.trial_id == first(run):
            requests.request_prune(run, first(run), "too bad")

    finish(run, CurveTrainer(lambda trial: (20.0, 30.0, 40.0, 50.0), at_evaluation=ask))
    row = rows_of(run)[first(run)]
    assert (row["status"], row["cause"], row["accuracy_at_stop"]) == ("pruned", "user", 30.0)


# ── the end of a job


def test_time_is_over_a_tenth_ahead_but_not_more_than_half_a_minute() -> None:
    assert JobEnd(None)() is Signal.GO_ON
    assert JobEnd(1000.0)() is Signal.GO_ON
    assert JobEnd(0.0)() is Signal.OUT_OF_TIME
    end = JobEnd(0.5)
    time.sleep(0.3)
    assert end() is Signal.GO_ON
    time.sleep(0.16)
    assert end() is Signal.OUT_OF_TIME


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT])
def test_a_signal_ends_the_worker_at_its_next_step(run: RunDir, number: signal.Signals) -> None:
    before = {n: signal.getsignal(n) for n in (15, 10, 12, 2)}
    end = JobEnd(None)
    end.listen()

    def send(trial: TrialSpec, evaluation: int) -> None:
        if trial.trial_id == load_plan(run).queue[2].trial_id:
            os.kill(os.getpid(), number)

    try:
        assert worker_of(run, CurveTrainer(at_evaluation=send), end).work() == "preempted"
    finally:
        for n, handler in before.items():
            signal.signal(n, handler)
    assert len(rows_of(run)) == 2
    third = load_plan(run).queue[2].trial_id
    released = publish.read_json(run.claims / f"{third}.1.released")
    assert released["reason"] == "preempted"


def test_a_worker_out_of_time_takes_nothing_more(run: RunDir) -> None:
    asked = iter([Signal.GO_ON] * 3)
    reason = worker_of(run, ending=lambda: next(asked, Signal.OUT_OF_TIME)).work()
    assert reason == "out of time"
    assert 0 < len(rows_of(run)) < 12


# ── what others see meanwhile


def test_the_heartbeat_follows_the_steps(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lars_sweep.worker.control.BEAT_S", 0.0)
    seen: list[tuple[str | None, int, int, int]] = []

    def look(trial: TrialSpec, number: int) -> None:
        (record,) = workers.read_workers(run.workers)
        if trial.trial_id == first(run):
            seen.append((record.trial_id, record.attempt, record.steps_done, record.steps))

    finish(run, CurveTrainer(lambda trial: (1.0, 2.0, 3.0, 4.0), at_evaluation=look))
    assert seen == [(first(run), 1, steps, 40) for steps in (0, 10, 20, 30)]


def test_evaluations_can_be_read_as_they_are_measured(run: RunDir) -> None:
    lengths: list[int] = []

    def look(trial: TrialSpec, number: int) -> None:
        lengths.append(len(attempts.read_attempt_log(run.attempt_log(trial.trial_id, 1))))

    finish(run, CurveTrainer(lambda trial: (1.0, 2.0, 3.0), at_evaluation=look))
    assert lengths == [0, 1, 2] * 12


def test_a_second_attempt_carries_on_the_log_and_the_checkpoints_of_the_first(run: RunDir) -> None:
    class Interrupted(CurveTrainer):
        def train(self, trial: TrialSpec, control: Control) -> TrialResult:
            directory = control.checkpoint_dir
            assert directory is not None
            if trial.trial_id == first(run):
                carried.append(sorted(path.name for path in directory.iterdir()))
            (directory / f"{len(carried)}.pt").touch()
            return super().train(trial, control)

    carried: list[list[str]] = []

    def fail_once(trial: TrialSpec, number: int) -> None:
        if trial.trial_id == first(run) and len(carried) == 1 and number == 2:
            raise RuntimeError

    lengths: list[int] = []

    def look(trial: TrialSpec, number: int) -> None:
        fail_once(trial, number)
        if trial.trial_id == first(run) and len(carried) == 2:
            log = run.attempt_log(trial.trial_id, 2)
            lengths.append(len(attempts.read_attempt_log(log)))

    finish(run, Interrupted(at_evaluation=look))
    assert carried == [[], ["1.pt"]]
    assert lengths == [1, 1]
    assert not list((run.path / "checkpoints").iterdir())


def test_effort_counts_all_attempts(run: RunDir) -> None:
    failures = iter([RuntimeError()])

    def fail_once(trial: TrialSpec, number: int) -> None:
        if trial.trial_id == first(run):
            time.sleep(0.2)
            for error in failures:
                raise error

    finish(run, CurveTrainer(lambda trial: (1.0,), at_evaluation=fail_once))
    row = rows_of(run)[first(run)]
    assert row["attempts"] == 2
    assert float(str(row["wall_s"])) >= 0.4
    assert float(str(row["device_s"])) == 2 * float(str(row["wall_s"]))
