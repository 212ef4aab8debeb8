"""Which workers of a run are alive, or about to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lars_sweep.rundir import workers
from lars_sweep.rundir.launches import read_launches
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker
from lars_sweep.worker.look import View


def is_live(worker: Worker, view: View) -> bool:
    """Whether a worker is not known to have ended or died."""
    if worker.ended:
        return False
    if worker.executor != "slurm":
        return workers.is_gone(worker) is not True
    seen = view.jobs.get(worker.job_id)
    return seen is None or (seen.job.state.live and seen.job.restarts <= worker.restarts)


def live_workers(run: RunDir, view: View) -> list[Worker]:
    """Workers that are not known to have ended or died."""
    return [w for w in workers.read_workers(run.workers) if is_live(w, view)]


def on_their_way(run: RunDir, known: Sequence[Worker] | None = None) -> list[str]:
    """Jobs of local workers that were started and have not reported in yet: they still import."""
    known = workers.read_workers(run.workers) if known is None else known
    reported = {worker.job_id for worker in known}
    return [
        job_id
        for launch in read_launches(run)
        if launch.executor == "local"
        for job_id in launch.job_ids
        if job_id not in reported and is_controller(job_id)
    ]


def is_controller(pid: str) -> bool:
    """Whether this is (still) the process that submitit starts for a local job, and no zombie."""
    try:
        return b"submitit.local" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def waiting_arrays(run: RunDir, view: View) -> list[str]:
    """Arrays of SLURM workers of which some task runs, waits, or may do so for all we know."""
    return [
        array
        for launch in read_launches(run)
        if launch.executor == "slurm"
        for array in launch.job_ids
        if launch.at > view.asked_at or view.may_return(array)
    ]


def present_workers(run: RunDir, view: View, known: Sequence[Worker] | None = None) -> int:
    """Workers that run, wait in the queue, or are about to report in.

    Args:
        run: the run directory.
        view: what SLURM said last.
        known: the workers that have reported in; None: they are read now.
    """
    known = workers.read_workers(run.workers) if known is None else known
    local = [w for w in known if w.executor != "slurm" and is_live(w, view)]
    return len(local) + len(on_their_way(run, known)) + len(waiting_arrays(run, view))
