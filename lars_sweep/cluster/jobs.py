"""What became of a SLURM job: one state for squeue's and sacct's many words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a job stands, by what a dispatcher has to do about it."""

    PENDING = "pending"
    RUNNING = "running"
    REQUEUED = "requeued"
    """Ran before and waits to run again under the same id."""
    COMPLETED = "completed"
    FAILED = "failed"
    """Its own exit status was not 0, or a signal ended it."""
    OUT_OF_MEMORY = "out of memory"
    """Host memory: over --mem and killed by the kernel."""
    TIMED_OUT = "timed out"
    PREEMPTED = "preempted"
    """Ended for good by a preemption (PreemptMode=CANCEL); a requeued job is REQUEUED."""
    NODE_FAILED = "node failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"
    """The scheduler no longer lists the job; how it ended is not recorded."""

    @property
    def live(self) -> bool:
        """Whether the scheduler may still run the job, or is running it."""
        return self in _LIVE


_LIVE = frozenset({State.PENDING, State.RUNNING, State.REQUEUED})

SLURM_STATES = {
    "PENDING": State.PENDING,
    "CONFIGURING": State.PENDING,
    "RESV_DEL_HOLD": State.PENDING,
    "REQUEUED": State.REQUEUED,
    "REQUEUE_FED": State.REQUEUED,
    "REQUEUE_HOLD": State.REQUEUED,
    "SPECIAL_EXIT": State.REQUEUED,
    "RUNNING": State.RUNNING,
    # Over, but its processes may live for seconds more: the node is not free of it yet.
    "COMPLETING": State.RUNNING,
    "SIGNALING": State.RUNNING,
    "STAGE_OUT": State.RUNNING,
    "RESIZING": State.RUNNING,
    "SUSPENDED": State.RUNNING,
    "STOPPED": State.RUNNING,
    "COMPLETED": State.COMPLETED,
    "FAILED": State.FAILED,
    "OUT_OF_MEMORY": State.OUT_OF_MEMORY,
    "TIMEOUT": State.TIMED_OUT,
    "DEADLINE": State.TIMED_OUT,
    "PREEMPTED": State.PREEMPTED,
    "NODE_FAIL": State.NODE_FAILED,
    "BOOT_FAIL": State.NODE_FAILED,
    "CANCELLED": State.CANCELLED,
    "REVOKED": State.CANCELLED,
}


def state_of(words: str) -> State:
    """The state for SLURM's words, as in ``RUNNING`` or ``CANCELLED by 1000``."""
    return SLURM_STATES.get(words.split(" ")[0].rstrip("+"), State.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """One job, or one task of an array, as the scheduler tells it."""

    job_id: str
    """``123``, or ``123_4`` for task 4 of array 123."""
    state: State
    reason: str = ""
    """SLURM's word for why it waits or ended (lars_sweep.cluster.reasons explains it)."""
    nodes: str = ""
    """A host list, as in ``dgx[1-2]``; empty before the job starts."""
    restarts: int = 0
    exit_status: int | None = None
    """None without accounting, and before the end."""
    exit_signal: int | None = None
    """0 unless a signal ended the job; None as above."""
    earlier: tuple[State, ...] = ()
    """How the runs before the last one ended, oldest first; empty without accounting."""


def base_id(job_id: str) -> str:
    """``123`` for ``123``, ``123_4`` and ``123_[5-9%2]``."""
    return job_id.partition("_")[0]


def expand_ids(job_id: str) -> Iterator[str]:
    """``123_[0-2,7%4]`` → ``123_0``, ``123_1``, ``123_2``, ``123_7``; other ids as they are."""
    match = re.fullmatch(r"(\d+)_\[([\d,:-]+)(?:%\d+)?\]", job_id)
    if match is None:
        yield job_id
        return
    for part in match[2].split(","):
        first, _, rest = part.partition("-")
        last, _, step = rest.partition(":")
        for task in range(int(first), int(last or first) + 1, int(step or 1)):
            yield f"{match[1]}_{task}"
