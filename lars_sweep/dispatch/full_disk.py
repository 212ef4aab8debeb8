"""A run directory that takes nothing more: what it has stopped, and whether it is so still."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lars_sweep.cluster.jobs import State, base_id
from lars_sweep.errors import RunError
from lars_sweep.nouns import count
from lars_sweep.rundir import publish
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.launches import last_launch
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker
from lars_sweep.worker import exits
from lars_sweep.worker.logs import cause_in_log, log_tail
from lars_sweep.worker.look import View


def disk_notes(run: RunDir, view: View, known: Sequence[Worker]) -> Iterator[str]:
    """What to say of it; nothing if all is well.

    Args:
        run: the run directory.
        view: what SLURM said last.
        known: the workers that have reported in.
    """
    try:
        publish.check_room(run.path)
    except RunError as error:  # somebody who may only read the run is not told
        if exits.is_disk(error):
            yield str(error)
    stopped = len(_stopped(run, view, known))
    if stopped:
        yield (
            f"{count(stopped, 'worker')} stopped: {Cause.DISK}: make room "
            "(`lars-sweep gc` removes what is not needed), then "
            f"`lars-sweep resume {run.path}`"
        )


def _stopped(run: RunDir, view: View, known: Sequence[Worker]) -> set[str]:
    """Jobs of the newest launch that a full disk ended: whoever launched again has seen others."""
    launch = last_launch(run)
    if launch is None:
        return set()
    arrays = {*launch.job_ids, launch.canary}
    said = {w.job_id for w in known if w.array in arrays and w.state == f"ended: {Cause.DISK}"}
    return said | {
        job_id
        for job_id, seen in view.jobs.items()
        if base_id(job_id) in arrays and seen.job.state is State.FAILED
        if seen.job.exit_status == exits.DISK
        or (seen.job.exit_status is None and cause_in_log(log_tail(run, job_id)) is Cause.DISK)
    }
