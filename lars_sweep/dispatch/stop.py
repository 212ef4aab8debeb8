"""Stopping a run: ask at the step boundary first, then end the processes."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from lars_sweep.dispatch.alive import live_workers, waiting_arrays
from lars_sweep.dispatch.slurm import cancel_arrays
from lars_sweep.rundir import requests, workers
from lars_sweep.rundir.layout import RunDir
from lars_sweep.worker.look import View, look


def cancel(run: RunDir, *, grace_s: float = 30.0) -> int:
    """Stop all workers; what they hold is checkpointed and `resume` goes on from there.

    Args:
        run: the run directory.
        grace_s: how long workers on this machine have until they are killed.

    Returns:
        How many workers were asked to stop.
    """
    requests.request_stop(run, "cancelled")
    view = look(run, newer_than=time.time())
    arrays = waiting_arrays(run, view)
    cancel_arrays(arrays, "--state=PENDING")
    asked = live_workers(run, view)
    here = [worker for worker in asked if workers.is_gone(worker) is False]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for worker in here:
            if workers.is_gone(worker) is False:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, number)
        until = time.monotonic() + grace_s
        while time.monotonic() < until and any(workers.is_gone(w) is False for w in here):
            time.sleep(0.05)
    _wait_for_slurm(run, view, grace_s)
    cancel_arrays(arrays)
    return len(asked)


def _wait_for_slurm(run: RunDir, view: View, grace_s: float) -> None:
    """Workers look for the request every second, and save their trial before they end."""
    until = time.monotonic() + grace_s
    while time.monotonic() < until:
        if not any(worker.executor == "slurm" for worker in live_workers(run, view)):
            return
        time.sleep(0.2)
