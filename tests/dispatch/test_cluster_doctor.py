"""What doctor says of a probe whose job never starts, which SLURM here refuses, and its folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from lars_sweep.cluster.jobs import JobState, State
from lars_sweep.cluster.profile import Profile
from lars_sweep.dispatch import cluster_doctor
from lars_sweep.dispatch.probe_folder import probe_folder


def interrupted(folder: Path, number: int) -> None:
    with probe_folder(folder):
        os.kill(os.getpid(), number)
        time.sleep(10)


@pytest.mark.parametrize(
    ("number", "raised"), [("INT", KeyboardInterrupt), ("TERM", SystemExit), ("HUP", SystemExit)]
)
def test_an_interrupted_probe_leaves_nothing(
    tmp_path: Path, number: str, raised: type[BaseException]
) -> None:
    # A shell's background jobs inherit that it is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(raised):
            interrupted(tmp_path, getattr(signal, f"SIG{number}"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert not os.listdir(tmp_path)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_what_a_killed_doctor_left_goes_with_the_next_and_a_living_one_keeps_its_own(
    tmp_path: Path,
) -> None:
    host, gone = socket.gethostname(), subprocess.Popen(["true"])
    gone.wait()
    killed = tmp_path / f".probe-1234abcd.{gone.pid}.1.{host}"
    old, new = (tmp_path / f".probe-{name}.1.1.else.where" for name in ("0ld", "new"))
    for folder in (killed, old, new):
        folder.mkdir()
        (folder / "linked").touch()
    os.utime(old, (1.0, 1.0))
    with probe_folder(tmp_path) as mine, probe_folder(tmp_path) as other:
        assert set(tmp_path.iterdir()) == {new, mine, other}


def test_a_job_that_will_never_start_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pending(job_ids: Iterable[str]) -> dict[str, JobState]:
        waiting = {"state": State.PENDING, "reason": "PartitionNodeLimit"}
        return {job: JobState(job_id=job, **waiting) for job in job_ids}

    monkeypatch.setattr(cluster_doctor, "query_jobs", pending)
    profile = Profile(name="x", executor="slurm")
    (check,) = cluster_doctor._judged(profile, tmp_path, "7", "digits")
    assert not check.ok
    assert check.found == (
        "0 of 1 ranks answered; job: pending PartitionNodeLimit: more nodes than the partition "
        "has, so it will never start"
    )
    assert check.advice == "fewer `nodes`"
