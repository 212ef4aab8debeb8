"""What a job has written, and which end its last words tell."""

from __future__ import annotations

from pathlib import Path

from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.layout import RunDir

_OUT_OF_MEMORY = ("oom_kill", "oom-kill", ": Out Of Memory")
_WORDS = (
    ("DUE TO NODE FAILURE", Cause.NODE_FAILED),
    ("DUE TO PREEMPTION", Cause.PREEMPTED),
    ("DUE TO JOB REQUEUE", Cause.REQUEUED),
    ("DUE TO TIME LIMIT", Cause.TIMED_OUT),
    ("No space left on device", Cause.DISK),
    ("Disk quota exceeded", Cause.DISK),
)
"""What srun and slurmstepd write into the log of a job that they end."""

TAIL_BYTES = 4096


def log_files(run: RunDir, job_id: str) -> list[Path]:
    """Logs of a job, one per rank, rank 0 first."""
    found = [*run.logs.glob(f"{job_id}_*_log.out"), *run.logs.glob(f"{job_id}/*_log.out")]
    return sorted(found, key=lambda path: int(path.name.split("_")[-2]))


def last_log_about(run: RunDir, trial_id: str) -> Path | None:
    """The log last written to of those that tell of a trial; its claims are gone once it is sealed.

    By time and not by name: job 10 came after job 9.
    """
    newest_first = sorted(run.logs.rglob("*_log.out"), key=_written_at, reverse=True)
    return next((p for p in newest_first if trial_id in p.read_text(errors="replace")), None)


def _written_at(path: Path) -> int:
    return path.stat().st_mtime_ns


def log_tail(run: RunDir, job_id: str) -> str:
    """The last lines of a job's ranks, joined."""
    tails = []
    for path in log_files(run, job_id):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            tails.append(file.read().decode(errors="replace"))
    return "\n".join(tails)


def cause_in_log(text: str) -> Cause:
    """Which end a job's last words tell, the newest of them; KILLED if none.

    Memory comes first: srun ends the other ranks for it, and says that too.
    """
    if any(word in text for word in _OUT_OF_MEMORY):
        return Cause.OUT_OF_MEMORY_HOST
    last, cause = max((text.rfind(word), cause) for word, cause in _WORDS)
    return cause if last >= 0 else Cause.KILLED
