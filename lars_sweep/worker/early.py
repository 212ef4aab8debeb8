"""Signals that come while a rank still imports: kept for later, as by default they would end it.

Imports nothing of ours, so that it is at work a moment after the interpreter.
"""

from __future__ import annotations

import signal
from types import FrameType

ANNOUNCING = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT)
"""By these SLURM announces an end."""

caught: set[int] = set()


def catch() -> None:
    """Note the signals until `lars_sweep.worker.ending.JobEnd.listen` takes over."""
    for number in ANNOUNCING:
        signal.signal(number, _note)


def _note(number: int, frame: FrameType | None) -> None:
    caught.add(number)
