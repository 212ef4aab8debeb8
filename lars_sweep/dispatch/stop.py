"""Stopping a run: ask at the step boundary first, then end the processes."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from lars_sweep.dispatch.alive import live_workers
from lars_sweep.rundir import requests, workers
from lars_sweep.rundir.layout import RunDir


def cancel(run: RunDir, *, grace_s: float = 30.0) -> int:
    """Stop all workers; what they hold is checkpointed and `resume` goes on from there.

    Args:
        run: the run directory.
        grace_s: how long workers on this machine have until they are killed.

    Returns:
        How many workers were asked to stop.
    """
    requests.request_stop(run, "cancelled")
    asked = live_workers(run)
    here = [worker for worker in asked if workers.is_gone(worker) is False]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for worker in here:
            if workers.is_gone(worker) is False:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, number)
        until = time.monotonic() + grace_s
        while time.monotonic() < until and any(workers.is_gone(w) is False for w in here):
            time.sleep(0.05)
    return len(asked)
