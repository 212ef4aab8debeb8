"""The controller goes away, the disk is full: nothing is lost and nobody is declared dead."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clusterkit import Own
from slurmkit import (
    At,
    command,
    finished,
    known,
    reference,
    releases,
    rows,
    running,
    science,
    sweep_text,
    until,
    wait_finished,
)

from lars_sweep.cluster.jobs import State
from lars_sweep.dispatch.status import run_status
from lars_sweep.rundir.causes import Cause
from lars_sweep.worker.look import look, read_view


@pytest.mark.parametrize("seconds", [15, pytest.param(60, marks=pytest.mark.long)])
def test_controller_away(own: Own, at: At, tmp_path: Path, seconds: int) -> None:
    site = at(own(nodes=1))
    run = site.plan(sweep_text(points=4, steps=20 * seconds))  # two trials of so long per worker
    site.submit(run, site.profile("canary = false"), 2)
    until(lambda: len(running(run)) == 2, "both workers")
    site.lab.cluster.stop_controller()
    until_back = time.monotonic() + seconds
    try:
        assert look(run, newer_than=time.time()).trouble
        time.sleep(max(0.0, until_back - time.monotonic()))
        assert len([worker for worker in known(run) if not worker.ended]) == 2
    finally:
        site.lab.cluster.start_controller()
    wait_finished(run)
    assert science(run) == reference(run, tmp_path)
    assert {row["attempts"] for row in rows(run)} == {1}, "no false death"
    assert not look(run, newer_than=time.time()).trouble


def fill(path: Path) -> None:
    """Write until nothing more is taken."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(descriptor, b"x" * 4096)
    finally:
        os.close(descriptor)


def test_full_disk(at: At, tmpfs: Callable[[str], Path], tmp_path: Path) -> None:
    site = at(1)
    site.folder = tmpfs("size=2m")
    run = site.plan(sweep_text(points=8, steps=60))
    profile = site.profile("canary = false")
    site.submit(run, profile, 1)
    until(lambda: finished(run) >= 1, "a first outcome")
    ballast = site.folder / "ballast"
    with pytest.raises(OSError, match="No space left"):
        fill(ballast)
    array = known(run)[0].array
    until(lambda: not site.queue([array]), "the workers to stop")
    until(lambda: site.lab.state(f"{array}_0").exit_status, "accounting to know its end")
    ended = [site.lab.state(f"{array}_{task}") for task in range(10)]
    assert (ended[0].state, ended[0].exit_status) == (State.FAILED, 92)
    assert {job.state for job in ended[1:]} == {State.CANCELLED}, "no job was burnt on it"
    assert len(known(run)) == 1
    done = finished(run)
    assert done < 8
    # Whoever looks is told too, though the answer cannot be kept.
    assert "the disk is full" in command("status", run.path)
    ballast.unlink()
    look(run, newer_than=time.time())
    told = "1 worker stopped: disk or quota: make room"
    assert any(note.startswith(told) for note in run_status(run).notes)
    assert site.submit(run, profile, 1) is not None
    wait_finished(run)
    assert science(run) == reference(run, tmp_path)
    retried = [row["trial_id"] for row in rows(run) if row["attempts"] > 1]
    assert {said.cause for trial_id in retried for said in releases(run, trial_id)} <= {Cause.DISK}
    assert read_view(run).jobs[f"{array}_0"].job.exit_status == 92
    assert not run_status(run).notes


def test_a_successor_finds_a_full_disk_before_it_starts_ranks(
    at: At, tmpfs: Callable[[str], Path]
) -> None:
    """As where compute nodes have no SLURM commands, so that a worker cannot call it off."""
    site = at(1)
    site.folder = tmpfs("size=2m")
    run = site.plan(sweep_text(points=2, steps=60))
    ballast = site.folder / "ballast"
    profile = site.profile("canary = false\nsuccessors = 2")
    launch = site.submit(run, profile, 1)
    assert launch is not None
    with pytest.raises(OSError, match="No space left"):
        fill(ballast)
    (array,) = launch.job_ids
    until(lambda: not site.queue([array]), "the jobs to end")
    assert known(run) == []

    def exits() -> list[int | None]:
        return [site.lab.state(f"{array}_{task}").exit_status for task in range(3)]

    until(lambda: None not in exits(), "accounting to know their ends")
    assert exits() == [92] * 3
    steps = site.lab.cluster.run("sacct", "-n", "-P", "--format=JobID", f"--jobs={array}").split()
    assert {step.partition(".")[2] for step in steps} == {"", "batch"}, "no srun"
    ballast.unlink()
