"""Heartbeats: one small file per worker, written from its training loop and nowhere else.

A thread would go on beating while the loop hangs; so the step counter in this file is the proof
of life. Local workers are also known by (host, boot, pid, start time of the pid): if that process
is gone, the worker is dead, whatever the clock says.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

from lars_sweep.rundir import publish
from lars_sweep.rundir.records import read_if_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What a worker last said about itself."""

    worker_id: str
    job_id: str
    """SLURM's job or array-task id, or the local controller's pid."""
    executor: str
    """local or slurm."""
    host: str
    boot_id: str
    pid: int
    pid_started: int
    """Start time of the pid in clock ticks since boot: tells a reused pid apart."""
    state: str
    """starting, running, idle, or how it ended."""
    trial_id: str | None = None
    attempt: int = 0
    steps_done: int = 0
    steps: int = 0
    images_per_s: float = 0.0
    devices: int = 1
    trials_done: int = 0
    restarts: int = 0
    """How often SLURM had started this job before."""
    nodes: str = ""
    """Where it runs, as SLURM writes it."""
    patience_s: float | None = None
    """Silence while running that is longer than this is a hang; None: nobody watches."""
    started_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)

    @property
    def ended(self) -> bool:
        return self.state.startswith("ended")

    @property
    def array(self) -> str:
        """The SLURM array of which this job is a task: its predecessors and successors."""
        return self.job_id.partition("_")[0]


def this_worker(
    worker_id: str, *, job_id: str, executor: str, restarts: int = 0, nodes: str = ""
) -> Worker:
    """The record of the calling process."""
    pid = os.getpid()
    return Worker(
        worker_id=worker_id,
        job_id=job_id,
        executor=executor,
        host=socket.gethostname(),
        boot_id=boot_id(),
        pid=pid,
        pid_started=pid_started(pid) or 0,
        state="starting",
        restarts=restarts,
        nodes=nodes,
    )


def beat(directory: Path, worker: Worker, *, durable: bool = False) -> Worker:
    """Write the worker's record.

    Args:
        directory: of all workers' records.
        worker: what it says about itself.
        durable: for the first record, which stands before any claim: a claim whose holder nobody
            knows then means a lost file. Later ones may go in a power cut; it ends the worker too.
    """
    worker = replace(worker, updated_at=time.time())
    publish.replace(
        directory / f"{worker.worker_id}.json",
        publish.to_json_bytes(asdict(worker)),
        durable=durable,
    )
    return worker


def read_workers(directory: Path) -> Sequence[Worker]:
    """All workers that ever reported in and whose record can be read, oldest first."""
    records = (_read(directory / name) for name in publish.names(directory))
    known = [worker for worker in records if worker is not None]
    return sorted(known, key=lambda worker: (worker.started_at, worker.worker_id))


def find(directory: Path, beginning: str, restarts: int) -> Worker | None:
    """The worker whose id begins so, in this run of its job; None before it has reported in."""
    for path in directory.glob(f"{beginning}*.json"):
        worker = _read(path)
        if worker is not None and worker.restarts == restarts:
            return worker
    return None


def _read(path: Path) -> Worker | None:
    """The record; None if it is gone or damaged."""
    return read_if_whole(path, Worker, instead="its worker counts as unknown")


def is_gone(worker: Worker) -> bool | None:
    """Whether the worker's process no longer exists; None where that cannot be seen from here."""
    if worker.ended:
        return True
    if worker.executor == "slurm":
        return None  # only SLURM knows whether it comes back
    if worker.host != socket.gethostname():
        return None
    if worker.boot_id != boot_id():
        return True
    return pid_started(worker.pid) != worker.pid_started


@cache
def boot_id() -> str:
    """Changes at every boot of this machine, so that a pid of an earlier boot is no proof."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def pid_started(pid: int) -> int | None:
    """When a process began: field 22 of /proc/PID/stat; None if it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    after_name = stat.rpartition(")")[2].split()  # the name may hold spaces and parentheses
    return None if after_name[0] in "ZX" else int(after_name[19])
