"""When a job is about to end: a signal of the scheduler, or its time limit."""

from __future__ import annotations

import signal
import time
from types import FrameType

from lars_sweep.spec.trainer import Signal

STOP_AHEAD_S = 30.0
"""A job's last seconds are for the checkpoint: no more than a tenth of its time limit, though."""


class JobEnd:
    """What this process's surroundings ask of the trial that it runs; asked at step boundaries.

    Every rank has one of its own: SLURM signals all tasks, and any rank's answer counts for all.
    """

    def __init__(self, time_limit_s: float | None) -> None:
        """Args: ``time_limit_s`` is the job's, counted from now; None: it has no limit."""
        self._signalled = False
        self._deadline = None
        if time_limit_s is not None:
            self._deadline = time.monotonic() + time_limit_s - min(STOP_AHEAD_S, time_limit_s / 10)

    def listen(self) -> None:
        """Catch the signals that announce an end.

        Called after submitit's own handlers are set, which would checkpoint from inside the signal
        handler and swallow SIGTERM.
        """
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def __call__(self) -> Signal:
        """GO_ON, PREEMPTED or OUT_OF_TIME."""
        if self._signalled:
            return Signal.PREEMPTED
        if self._deadline is not None and time.monotonic() > self._deadline:
            return Signal.OUT_OF_TIME
        return Signal.GO_ON

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True
