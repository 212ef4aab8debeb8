"""Jobs that ended before a worker in them had reported in: an import that fails, a full disk.

No record of a worker tells of them, so what is known comes from the launch, the process or SLURM,
and the log. Only the newest launch is looked at: whoever launches again has seen the others.
"""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lars_sweep.cluster.jobs import JobState, State, base_id
from lars_sweep.dispatch.alive import is_controller
from lars_sweep.rundir import workers
from lars_sweep.rundir.launches import Launch, last_launch
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker
from lars_sweep.worker.canary import verdict
from lars_sweep.worker.exits import EXITS
from lars_sweep.worker.logs import log_files, log_tail
from lars_sweep.worker.look import View

_DIED = (State.FAILED, State.OUT_OF_MEMORY, State.TIMED_OUT, State.NODE_FAILED)
_ERROR = re.compile(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception|Lost|Interrupt)\b.*)| ERROR (.*)")
_OF_SLURM = re.compile(r"^(?:srun|slurmstepd\S*): (?:error: )?")
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreported:
    """One such job."""

    job_id: str
    reason: str
    log: Path | None
    canary: bool = False
    """Whether it was to release the workers."""


def unreported(run: RunDir, view: View, known: Sequence[Worker] | None = None) -> list[Unreported]:
    """Jobs of the newest launch that died before they reported in.

    Args:
        run: the run directory.
        view: what SLURM said last.
        known: the workers that have reported in; None: they are read now.
    """
    launch = last_launch(run)
    if launch is None:
        return []
    reported = _reported(run) if known is None else {worker.job_id for worker in known}
    if launch.executor == "local":
        return list(_local(run, launch, reported))
    return list(_on_slurm(run, launch, view, reported))


def reasons(jobs: Sequence[Unreported]) -> Mapping[str, int]:
    """Why they died → how many, the most frequent first."""
    return dict(Counter(job.reason for job in jobs).most_common())


def _local(run: RunDir, launch: Launch, reported: set[str]) -> Iterator[Unreported]:
    if launch.host != socket.gethostname():
        return
    gone = [job for job in launch.job_ids if job not in reported and not is_controller(job)]
    if gone:  # one that has ended since the records were read has reported in by now
        reported = _reported(run)
    for job_id in gone:
        if job_id not in reported:
            said = last_words(log_tail(run, job_id))
            yield _job(run, job_id, said or "killed without a word")


def _on_slurm(run: RunDir, launch: Launch, view: View, reported: set[str]) -> Iterator[Unreported]:
    arrays = {*launch.job_ids}
    sang = verdict(run) is not None
    for job_id, seen in view.jobs.items():
        worker = base_id(job_id) in arrays and job_id not in reported
        canary = base_id(job_id) == launch.canary and not sang
        if (worker or canary) and (reason := _reason(run, seen.job)):
            yield _job(run, job_id, reason, canary=canary)


def _reason(run: RunDir, job: JobState) -> str:
    """Empty if it did not die: successors without work end in order, a cancelled job as asked."""
    if job.state not in (*_DIED, State.UNKNOWN):
        return ""
    said = last_words(log_tail(run, job.job_id), error=job.state is State.UNKNOWN)
    if job.state is State.UNKNOWN:  # forgotten by SLURM: only the log tells how it ended
        return said
    said = said or str(EXITS.get(job.exit_status or 0, ""))  # a full disk takes no log either
    status = f", exit status {job.exit_status}" if job.exit_status else ""
    slurm = f"SLURM: {job.state}{status}"
    return f"{said} ({slurm})" if said else slurm


def last_words(text: str, *, error: bool = False) -> str:
    """The last line of a log that tells an error, else its last line; empty if there is none.

    Args:
        text: the end of a log.
        error: nothing but an error will do.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [match[1] or match[2] for line in lines if (match := _ERROR.search(line))]
    if not told and not error:
        # srun only repeats what the ranks said; slurmstepd names its node, which differs.
        told = [line for line in lines if not line.startswith("srun: ")] or lines
    return _OF_SLURM.sub("", told[-1])[:_LONGEST] if told else ""


def _job(run: RunDir, job_id: str, reason: str, *, canary: bool = False) -> Unreported:
    files = log_files(run, job_id)
    return Unreported(job_id=job_id, reason=reason, log=files[0] if files else None, canary=canary)


def _reported(run: RunDir) -> set[str]:
    return {worker.job_id for worker in workers.read_workers(run.workers)}
