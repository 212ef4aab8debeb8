"""Jobs that SLURM takes away: nothing is lost, done twice, or computed otherwise."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from slurmkit import (
    At,
    Site,
    command,
    finished,
    known,
    reference,
    releases,
    rows,
    running,
    science,
    starts,
    sweep_text,
    until,
    wait_finished,
    wait_running,
)

from lars_sweep.dispatch.status import run_status
from lars_sweep.rundir.launches import read_launches
from lars_sweep.rundir.layout import RunDir
from lars_sweep.worker.look import look

STEPS = 200


@pytest.fixture(autouse=True)
def _steps_of_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.1")


def one_worker(
    site: Site, text: str = "", *, points: int = 1, steps: int = STEPS, **job: object
) -> RunDir:
    """A trial of 20 s for one worker: long enough to be in its middle when an accident comes."""
    run = site.plan(sweep_text(points=points, steps=steps))
    assert site.submit(run, site.profile(f"canary = false\n{text}", **job), 1)
    return run


def holds(run: RunDir, folder: Path, trial_id: str | None, *, steps: int = STEPS) -> None:
    """The trial took more than one attempt, the last not from zero, and ended as undisturbed."""
    wait_finished(run)
    assert science(run) == reference(run, folder)
    (row,) = (row for row in rows(run) if row["trial_id"] == trial_id)
    assert row["attempts"] >= 2
    assert trial_id is not None
    last = starts(run, trial_id)[-1]
    assert last[0] > 0, "continued from a checkpoint"
    assert last[1] == steps


@pytest.mark.parametrize("partition", ["low", "spot", "spotkill"])
def test_preempted(at: At, tmp_path: Path, partition: str) -> None:
    """With 30 s of grace, without grace, and cancelled for good."""
    site = at(1)
    run = one_worker(site, partition=partition, exclusive=True)
    first = wait_running(run, steps=15).trial_id
    assert first is not None
    site.lab.submit("sleep 2", "--partition=high", "--exclusive")
    until(lambda: releases(run, first), "the attempt's end to be noticed")
    assert releases(run, first)[0].cause in ("preempted", "requeued")
    holds(run, tmp_path, first)


def test_requeued_by_hand(at: At, tmp_path: Path) -> None:
    site = at(1)
    run = one_worker(site)
    worker = wait_running(run, steps=15)
    site.lab.cluster.run("scontrol", "requeue", worker.job_id)
    holds(run, tmp_path, worker.trial_id)


WITHOUT_SCONTROL = """
[environment]
setup = ["export PATH={folder}:$PATH"]"""


@pytest.mark.parametrize("successors", [0, 2])
def test_time_limit_in_mid_trial(at: At, tmp_path: Path, successors: int) -> None:
    """By a successor where compute nodes have no SLURM commands; else by its own requeue."""
    site = at(1)
    text = f"successors = {successors}"
    if successors:
        broken = tmp_path / "scontrol"
        broken.write_text("#!/bin/sh\nexit 1\n")
        broken.chmod(0o755)
        text += WITHOUT_SCONTROL.format(folder=tmp_path)
    # SLURM sends the signal 4 to 30 s after the start of so short a job; the trial takes longer.
    text += "\n[preemption]\nnotice_s = 50"
    run = one_worker(site, text, steps=400, time_limit_min=1)
    first = wait_running(run).trial_id
    assert first is not None
    until(lambda: releases(run, first), "the time limit to be felt")
    assert releases(run, first)[0].cause == "timed out"
    (launch,) = read_launches(run)
    holds(run, tmp_path, first, steps=400)
    tasks = {worker.job_id for worker in known(run)}
    assert tasks == {f"{launch.job_ids[0]}_{i}" for i in range(len(tasks))}
    assert len(tasks) > 1 if successors else tasks == {f"{launch.job_ids[0]}_0"}


def test_node_set_down(at: At, tmp_path: Path) -> None:
    site = at(2)
    run = one_worker(site)
    worker = wait_running(run, steps=15)
    site.lab.cluster.set_node(worker.nodes, "down")
    try:
        holds(run, tmp_path, worker.trial_id)
        assert known(run)[-1].nodes != worker.nodes
    finally:
        site.lab.cluster.set_node(worker.nodes, "resume")


def test_node_killed(at: At, tmp_path: Path) -> None:
    site = at(2)
    run = one_worker(site)
    worker = wait_running(run, steps=15)
    site.lab.cluster.kill_node(worker.nodes)
    try:
        holds(run, tmp_path, worker.trial_id)
        assert known(run)[-1].nodes != worker.nodes
    finally:
        site.lab.cluster.start_node(worker.nodes)


def test_one_task_cancelled_goes_on_and_the_array_cancelled_waits_for_resume(
    at: At, tmp_path: Path
) -> None:
    site = at(1)
    run = one_worker(site, points=2, steps=120)
    worker = wait_running(run, steps=10)
    site.lab.cluster.run("scancel", worker.job_id)
    until(lambda: finished(run) == 1, "its successor to go on")
    assert rows(run)[0]["trial_id"] == worker.trial_id
    until(lambda: [w for w in running(run) if w.trial_id != worker.trial_id], "the other trial")
    site.lab.cluster.run("scancel", worker.array)
    until(lambda: not site.queue([worker.array]), "the array to go")
    look(run, newer_than=time.time())
    status = run_status(run)
    assert (status.finished, status.count("interrupted"), status.workers_alive) == (1, 1, 0)
    assert status.interrupted_by == {"cancelled": 1}
    assert "cancelled" in status.jobs
    command("resume", run.path, "--profile", tmp_path / "site.toml", "--workers", "1")
    wait_finished(run)
    assert science(run) == reference(run, tmp_path)
    attempts = {row["trial_id"]: row["attempts"] for row in rows(run)}
    assert attempts == dict.fromkeys(attempts, 2), "what was finished has not run again"
