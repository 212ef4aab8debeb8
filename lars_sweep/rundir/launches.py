"""Launch records: what was submitted, written before and after, so that a crash between is seen.

Records are numbered and published by link: of two launches at once, the second one finds its number
taken and looks again, with the first one's workers in view.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lars_sweep.rundir import publish
from lars_sweep.rundir.failpoints import failpoint
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.records import read_if_whole, read_record
from lars_sweep.rundir.workers import boot_id, pid_started


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One submission of workers."""

    number: int
    executor: str
    profile: str
    """A shipped profile's name, or the path of its file: what `resume` goes on with."""
    workers: int
    data_dir: str | None = None
    """Where its workers look for data, if the user said so; also what `resume` goes on with."""
    job_ids: tuple[str, ...] = ()
    """One per worker, as they were submitted: a process, or a SLURM array whose tasks follow each
    other."""
    gpus: tuple[str, ...] = ()
    """The CUDA device that each local worker was given; empty: none was."""
    canary: str | None = None
    """The job whose success releases the workers."""
    through: bool = False
    """Whether the submission is over, completely or not."""
    refused: str = ""
    """Why not all of it was submitted."""
    host: str = field(default_factory=socket.gethostname)
    boot_id: str = field(default_factory=boot_id)
    pid: int = field(default_factory=os.getpid)
    pid_started: int = field(default_factory=lambda: pid_started(os.getpid()) or 0)
    at: float = field(default_factory=time.time)

    @property
    def cut_off(self) -> bool | None:
        """Whether its process died on the way; None where that cannot be seen from here."""
        if self.through:
            return False
        if self.host != socket.gethostname():
            return None
        return self.boot_id != boot_id() or pid_started(self.pid) != self.pid_started


def record_intent(run: RunDir, launch: Launch) -> bool:
    """Say what is about to be submitted; False if another launch took the number."""
    first = publish.publish_new(_path(run, launch.number), publish.to_json_bytes(asdict(launch)))
    failpoint("submit-recorded")
    return first


def record_jobs(run: RunDir, launch: Launch) -> Launch:
    """Say what was submitted."""
    failpoint("submitted")
    publish.replace(_path(run, launch.number), publish.to_json_bytes(asdict(launch)))
    return launch


def read_launches(run: RunDir) -> list[Launch]:
    """All launches in order, but those whose record is damaged."""
    instead = "its workers count once they report in; name --profile, --data-dir if it did"
    records = (read_if_whole(_path(run, n), Launch, instead=instead) for n in _numbers(run))
    return [launch for launch in records if launch is not None]


def read_launch(run: RunDir, number: int) -> Launch:
    """One launch.

    Raises:
        DamagedFile: its record is not whole.
    """
    return read_record(_path(run, number), Launch)


def next_number(run: RunDir) -> int:
    """The first number that no launch has, counting those whose record is damaged."""
    return 1 + max(_numbers(run), default=0)


def _numbers(run: RunDir) -> list[int]:
    stems = (name.removesuffix(".json") for name in publish.names(run.launches))
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def job_name(run: RunDir, launch: Launch, part: int | str) -> str:
    """Name of one job of a launch: how it is found again if no record tells its number."""
    return f"lars-{run.run_id}-{launch.number}-{part}"


def _path(run: RunDir, number: int) -> Path:
    return run.launches / f"{number}.json"


def last_launch(run: RunDir) -> Launch | None:
    """The newest launch; None if there was none."""
    return max(read_launches(run), key=lambda launch: launch.number, default=None)
