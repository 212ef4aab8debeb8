"""When a worker counts as dead: scripted answers of squeue, through the real question."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runkit import finish, in_parallel

from lars_sweep.dispatch.status import run_status
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import claims, workers
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.claims import Claim, Holding
from lars_sweep.rundir.launches import Launch, record_intent
from lars_sweep.rundir.layout import RunDir, open_run
from lars_sweep.rundir.patience import UNKNOWN_S
from lars_sweep.rundir.workers import Worker
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.fate import Fates
from lars_sweep.worker.logs import cause_in_log
from lars_sweep.worker.look import look, read_view

HELD = Holding(attempt=1, released=False)
Says = Callable[[str], None]


@pytest.fixture
def says(run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """``says("100_0|RUNNING|0|None|n1|")``: what squeue prints from now on; "" for no such job."""
    answers, commands = tmp_path / "answers", tmp_path / "bin"
    commands.mkdir()
    for name, script in (
        ("squeue", f"echo asked >> {tmp_path}/asked; cat {answers} || exit 1"),
        ("sacct", "exit 1"),
    ):
        (commands / name).write_text(f"#!/bin/sh\n{script}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.setenv("LARS_SWEEP_PACE", "600")  # a look every 0.1 s, dead after 0.05 s
    launch = Launch(number=1, executor="slurm", profile="p", workers=1, job_ids=("100",))
    assert record_intent(run, launch)

    def answer(text: str) -> None:
        answers.write_text(text + "\n" if text else "")

    return answer


def holder(run: RunDir, job_id: str = "100_0", restarts: int = 0) -> tuple[Worker, Claim]:
    """A worker of the array in mid-trial."""
    worker = workers.this_worker(
        f"{job_id}-x{restarts}", job_id=job_id, executor="slurm", restarts=restarts, nodes="n1"
    )
    worker = workers.beat(run.workers, worker)
    trial_id = load_plan(run).queue[0].trial_id
    claim = claims.take(run.claims, trial_id, 1, worker.worker_id)
    assert claim is not None
    return worker, claim


def look_again(run: RunDir) -> None:
    time.sleep(0.11)
    look(run)


def test_dead_after_two_looks_that_agree(run: RunDir, says: Says) -> None:
    _, claim = holder(run)
    says("100_0|RUNNING|0|None|n1|")
    look(run)
    assert not Fates(run, read_view(run)).of(claim.trial_id, HELD).free
    says("100_0|NODE_FAIL|0|NodeDown|n1|")
    look_again(run)
    first = Fates(run, read_view(run)).of(claim.trial_id, HELD)
    assert (first.free, first.cause) == (False, Cause.NODE_FAILED)
    look_again(run)
    assert Fates(run, read_view(run)).of(claim.trial_id, HELD).free


def test_a_job_nobody_knows_any_more_is_dead(run: RunDir, says: Says) -> None:
    _, claim = holder(run)
    says("")
    for free in (False, True):
        look_again(run)
        assert Fates(run, read_view(run)).of(claim.trial_id, HELD).free is free


def test_a_heartbeat_begins_the_count_anew(run: RunDir, says: Says) -> None:
    worker, claim = holder(run)
    says("100_0|FAILED|0|NonZeroExitCode|n1|")
    look(run)
    workers.beat(run.workers, worker)
    look_again(run)
    assert not Fates(run, read_view(run)).of(claim.trial_id, HELD).free
    look_again(run)
    assert Fates(run, read_view(run)).of(claim.trial_id, HELD).free


def test_a_silent_controller_kills_nobody(run: RunDir, says: Says, tmp_path: Path) -> None:
    _, claim = holder(run)
    says("100_0|RUNNING|0|None|n1|")
    look(run)
    (tmp_path / "answers").unlink()
    for _ in range(3):
        look_again(run)
        view = read_view(run)
        assert "squeue did not answer" in view.trouble
        assert not Fates(run, view).of(claim.trial_id, HELD).free


def test_a_requeued_job_keeps_its_trial_for_a_while(run: RunDir, says: Says) -> None:
    _, claim = holder(run)
    says("100_0|PENDING|1|BeginTime||")
    look(run)
    view = read_view(run)
    assert not Fates(run, view, keep_s=60).of(claim.trial_id, HELD).free
    kept_long_enough = Fates(run, view, keep_s=0.0).of(claim.trial_id, HELD)
    assert (kept_long_enough.free, kept_long_enough.cause) == (True, Cause.REQUEUED)
    itself = workers.this_worker("me", job_id="100_0", executor="slurm", restarts=1)
    assert Fates(run, view, keep_s=60, mine=itself).of(claim.trial_id, HELD).free
    assert Fates(run, view, mine=itself).is_own(claim.trial_id, HELD)


def test_a_successor_needs_no_look(run: RunDir, says: Says) -> None:
    _, claim = holder(run)
    successor = workers.this_worker("me", job_id="100_1", executor="slurm")
    stranger = workers.this_worker("me", job_id="200_0", executor="slurm")
    assert Fates(run, read_view(run), mine=successor).of(claim.trial_id, HELD).free
    assert not Fates(run, read_view(run), mine=stranger).of(claim.trial_id, HELD).free


@pytest.mark.parametrize("damage", [None, b"", b'{"worker_id": "100'])
def test_a_claim_whose_holder_left_no_record_comes_free(run: RunDir, damage: bytes | None) -> None:
    """After a power cut: the heartbeat file is lost, or is empty or half there."""
    trial_id, other = (queued.trial_id for queued in load_plan(run).queue[:2])
    if damage is not None:
        (run.workers / "lost.json").write_bytes(damage)

    def claimed(age_s: float, trial_id: str) -> None:
        content = {"worker_id": "lost", "taken_at": time.time() - age_s}
        (run.claims / f"{trial_id}.1").write_text(json.dumps(content))

    claimed(UNKNOWN_S - 60, trial_id)
    claimed(UNKNOWN_S + 60, other)
    fates = Fates(run, read_view(run))
    assert not fates.of(trial_id, HELD).free, "it may be about to report in"
    assert fates.of(other, HELD).free
    status = run_status(run)
    assert (status.count("running"), status.count("interrupted")) == (1, 1)
    claimed(UNKNOWN_S + 60, trial_id)
    assert finish(run) == "no work left"
    rows = load_table(run, "outcomes").to_pylist()
    assert {row["trial_id"]: row["attempts"] for row in rows if row["attempts"] > 1} == {
        trial_id: 2,
        other: 2,
    }


def test_the_first_record_of_a_worker_is_durable_and_stands_before_its_claims(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[tuple[bool, int]] = []
    beat = workers.beat

    def noted(directory: Path, worker: Worker, *, durable: bool = False) -> Worker:
        said.append((durable, len(claims.holdings(run.claims))))
        return beat(directory, worker, durable=durable)

    monkeypatch.setattr(workers, "beat", noted)
    finish(run)
    assert said[0] == (True, 0)


@pytest.mark.parametrize(("keep_s", "free"), [(60.0, False), (0.0, True)])
def test_a_trial_given_back_waits_for_its_own_worker(
    run: RunDir, says: Says, keep_s: float, free: bool
) -> None:
    _, claim = holder(run)
    claims.release(run.claims, claim, "preempted", cause=Cause.PREEMPTED)
    given_back = Holding(attempt=1, released=True)
    says("100_1|PENDING|0|Resources||")
    look(run)
    assert Fates(run, read_view(run), keep_s=keep_s).of(claim.trial_id, given_back).free is free
    says("100_0|COMPLETED|0|None|n1|")
    look_again(run)
    look_again(run)
    says("100_1|CANCELLED|0|None||")
    look_again(run)
    fate = Fates(run, read_view(run), keep_s=60).of(claim.trial_id, given_back)
    assert fate.free, "nobody of its array is left to come back"


def test_what_somebody_cancelled_was_not_preempted(run: RunDir, says: Says) -> None:
    """`scancel` sends the same signal, so the worker itself cannot know."""
    _, claim = holder(run)
    claims.release(run.claims, claim, "preempted", cause=Cause.PREEMPTED)
    given_back = Holding(attempt=1, released=True)
    causes = []
    for state, restarts in (("RUNNING", 1), ("CANCELLED", 1), ("CANCELLED", 0)):
        says(f"100_0|{state}|{restarts}|None|n1|")
        look_again(run)
        causes.append(Fates(run, read_view(run)).of(claim.trial_id, given_back).cause)
    assert causes == [Cause.PREEMPTED, Cause.PREEMPTED, Cause.CANCELLED]


def _look(path: Path, environment: dict[str, str]) -> None:
    # The server that forks for us may have started under another test's environment.
    os.environ.update(environment)
    look(open_run(path))


def test_of_many_that_look_at_once_one_asks(
    run: RunDir, says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARS_SWEEP_PACE", "1")
    says("100_0|RUNNING|0|None|n1|")
    arguments = (run.path, dict(os.environ))
    in_parallel(_look, [arguments] * 6)
    in_parallel(_look, [arguments] * 2)
    # Two if the clock struck a minute in between.
    assert len((tmp_path / "asked").read_text().split()) <= 2


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("all is well", Cause.KILLED),
        ("slurmstepd: *** STEP 1.0 CANCELLED AT x DUE TO PREEMPTION ***", Cause.PREEMPTED),
        ("DUE TO JOB REQUEUE\n ... \n*** CANCELLED AT y DUE TO TIME LIMIT ***", Cause.TIMED_OUT),
        ("srun: error: n1: task 1: Out Of Memory\nCANCELLED AT", Cause.OUT_OF_MEMORY_HOST),
        ("OSError: [Errno 28] No space left on device", Cause.DISK),
    ],
)
def test_last_words(log: str, cause: Cause) -> None:
    assert cause_in_log(log) is cause
