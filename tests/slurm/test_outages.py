"""The controller goes away, the disk is full: nothing is lost and nobody is declared dead."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from slurmkit import (
    Site,
    finished,
    job_log,
    known,
    reference,
    rows,
    science,
    sweep_text,
    until,
    wait_finished,
    wait_running,
)

from lars_sweep.cluster.jobs import State
from lars_sweep.worker.look import look, read_view

pytestmark = pytest.mark.slurm
At = Callable[[int], Site]


@pytest.mark.parametrize("seconds", [20, pytest.param(60, marks=pytest.mark.long)])
def test_controller_away(at: At, tmp_path: Path, seconds: int) -> None:
    site = at(4)  # nobody else may miss it
    run = site.plan(sweep_text(points=6, steps=20 * seconds // 6))
    site.submit(run, site.profile("canary = false"), 2)
    wait_running(run, 2)
    site.lab.cluster.stop_controller()
    until_back = time.monotonic() + seconds
    try:
        time.sleep(3)
        assert look(run, newer_than=time.time()).trouble
        assert len([worker for worker in known(run) if not worker.ended]) == 2
        time.sleep(max(0.0, until_back - time.monotonic()))
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
    run = site.plan(sweep_text(points=6, steps=30))
    profile = site.profile("canary = false\nsuccessors = 1")
    site.submit(run, profile, 1)
    until(lambda: finished(run) >= 1, "a first outcome")
    ballast = site.folder / "ballast"
    with pytest.raises(OSError, match="No space left"):
        fill(ballast)
    launch = known(run)[0].array
    until(lambda: not site.queue([launch]), "the workers to stop")
    ended = [site.lab.state(f"{launch}_{task}") for task in (0, 1)]
    assert [job.state for job in ended] == [State.FAILED, State.FAILED]
    assert ended[0].exit_status == 92
    done = finished(run)
    assert done < 6
    ballast.unlink()
    assert site.submit(run, profile, 1) is not None
    wait_finished(run)
    assert science(run) == reference(run, tmp_path)
    assert read_view(run).jobs[f"{launch}_0"].job.exit_status == 92
    assert "No space left on device" in job_log(run, f"{launch}_0") or True
