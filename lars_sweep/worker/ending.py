"""When a job is about to end: a signal of the scheduler, or its time limit."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType

from lars_sweep.spec.trainer import Signal
from lars_sweep.worker import early

NO_WORK_LEFT = "no work left"
STOP_AHEAD_S = 30.0
"""A job's last seconds are for the checkpoint: no more than a tenth of its time limit, though."""

STARTED = "LARS_SWEEP_JOB_STARTED"
"""Unix time at which the job began, set by its batch script: imports take seconds of the limit."""
SLURMS_SLACK_S = 60.0
"""SLURM sends --signal up to so much earlier than asked."""


class JobEnd:
    """What this process's surroundings ask of the trial that it runs; asked at step boundaries.

    Every rank has one of its own: SLURM signals all tasks, and any rank's answer counts for all.
    """

    def __init__(self, time_limit_s: float | None, *, notice_s: float = 0.0) -> None:
        """Begin.

        Args:
            time_limit_s: the job's, counted from its start (STARTED, else now); None: no limit.
            notice_s: how long before its limit the job is signalled; it may be a minute earlier.
        """
        self._signals: set[int] = set()
        self._deadline = None
        self._notice_s = notice_s
        if time_limit_s is not None:
            spent_s = max(0.0, time.time() - float(os.environ.get(STARTED, time.time())))
            self._ends_at = time.monotonic() + time_limit_s - spent_s
            self._deadline = self._ends_at - min(STOP_AHEAD_S, time_limit_s / 10)

    def listen(self) -> None:
        """Catch the signals that announce an end.

        Called after submitit's own handlers are set, which would checkpoint from inside the signal
        handler and swallow SIGTERM.
        """
        for number in early.ANNOUNCING:
            signal.signal(number, self._on_signal)
        self._signals |= early.caught

    def __call__(self) -> Signal:
        """GO_ON, PREEMPTED or OUT_OF_TIME."""
        if self._deadline is not None:
            now = time.monotonic()
            near = self._signals and now > self._ends_at - self._notice_s - SLURMS_SLACK_S
            if now > self._deadline or near:
                return Signal.OUT_OF_TIME
        return Signal.PREEMPTED if self._signals else Signal.GO_ON

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signals.add(number)
