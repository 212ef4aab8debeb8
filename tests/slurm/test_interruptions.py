"""Jobs that SLURM takes away: nothing is lost, done twice, or computed otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from slurmkit import (
    Site,
    finished,
    known,
    reference,
    releases,
    rows,
    science,
    starts,
    sweep_text,
    until,
    wait_finished,
    wait_running,
)

from lars_sweep.rundir.launches import read_launches
from lars_sweep.rundir.layout import RunDir

pytestmark = pytest.mark.slurm
At = Callable[[int], Site]
STEPS = 60


@pytest.fixture(autouse=True)
def _fast_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.1")


def one_worker(
    site: Site, text: str = "", *, points: int = 2, steps: int = STEPS, **job: object
) -> RunDir:
    """Two trials of 60 steps, 6 s each, for one worker."""
    run = site.plan(sweep_text(points=points, steps=steps))
    assert site.submit(run, site.profile(f"canary = false\n{text}", **job), 1)
    return run


def holds(
    run: RunDir, folder: Path, first: str, *, steps: int = STEPS, seconds: float = 90
) -> None:
    """The first trial took more than one attempt, none from zero, and ended as undisturbed."""
    wait_finished(run, seconds)
    assert science(run) == reference(run, folder)
    (row,) = (row for row in rows(run) if row["trial_id"] == first)
    assert row["attempts"] >= 2
    last = starts(run, first)[-1]
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
    holds(run, tmp_path, first)
    said = [release.cause for release in releases(run, first)]
    assert all(cause in ("preempted", "requeued") for cause in said)


def test_requeued_by_hand(at: At, tmp_path: Path) -> None:
    site = at(1)
    run = one_worker(site)
    worker = wait_running(run, steps=15)
    assert worker.trial_id is not None
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
    # SLURM sends the signal up to a minute early: at the very start of so short a job.
    text += "\n[preemption]\nnotice_s = 50"
    run = one_worker(site, text, steps=160, time_limit_min=1)
    first = wait_running(run).trial_id
    assert first is not None
    until(lambda: [said.cause for said in releases(run, first)], "the time limit to be felt", 40)
    assert releases(run, first)[0].cause == "timed out"
    (launch,) = read_launches(run)
    holds(run, tmp_path, first, steps=160, seconds=150)
    tasks = {worker.job_id for worker in known(run)}
    assert tasks == {f"{launch.job_ids[0]}_{i}" for i in range(len(tasks))}
    assert len(tasks) > 1 if successors else tasks == {f"{launch.job_ids[0]}_0"}


def test_node_set_down(at: At, tmp_path: Path) -> None:
    site = at(2)
    run = one_worker(site)
    worker = wait_running(run, steps=15)
    assert worker.trial_id is not None
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
    assert worker.trial_id is not None
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
    run = one_worker(site)
    worker = wait_running(run, steps=10)
    site.lab.cluster.run("scancel", worker.job_id)
    until(lambda: len(known(run)) == 2, "its successor")
    second = wait_running(run, steps=30)
    assert second.trial_id == worker.trial_id is not None
    site.lab.cluster.run("scancel", second.array)
    until(lambda: not site.queue([second.array]), "the array to go")
    assert finished(run) == 0
    assert site.submit(run, tmp_path / "site.toml", 1) is not None
    holds(run, tmp_path, worker.trial_id)
