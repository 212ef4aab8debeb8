"""Why an attempt at a trial ended without an outcome."""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """One word per thing that a user would do something else about."""

    PREEMPTED = "preempted"
    TIMED_OUT = "timed out"
    REQUEUED = "requeued"
    """The scheduler started the job anew: an administrator's requeue, or a preemption."""
    CANCELLED = "cancelled"
    NODE_FAILED = "node failed"
    KILLED = "killed"
    """A rank was killed or vanished without a word."""
    HANG = "hang"
    OUT_OF_MEMORY_HOST = "out of memory (host)"
    OUT_OF_MEMORY_CUDA = "out of memory (CUDA)"
    DISK = "disk or quota"
    DATA = "data"
    """The data set is missing or not the planned one: no trial's fault."""
    ERROR = "error"
    """A Python exception."""
    RETRIED = "to be tried again"
    """The trial had failed for good; `resume --retry-failed` took that back."""

    @property
    def counts(self) -> bool:
        """Whether it speaks against the trial, its code or its node."""
        return self not in _FREE

    @property
    def is_hardware(self) -> bool:
        """Whether it speaks against the node."""
        return self in (Cause.NODE_FAILED, Cause.HANG)


_FREE = frozenset(
    {
        Cause.PREEMPTED,
        Cause.TIMED_OUT,
        Cause.REQUEUED,
        Cause.CANCELLED,
        Cause.DISK,
        Cause.DATA,
        Cause.RETRIED,
    }
)
