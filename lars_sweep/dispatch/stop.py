"""Stopping a run: ask at the step boundary first, then end the processes."""

from __future__ import annotations

import contextlib
import os
import signal
import time

from lars_sweep.dispatch.alive import live_workers, on_their_way, present_workers, waiting_arrays
from lars_sweep.dispatch.slurm import cancel_arrays
from lars_sweep.dispatch.trials import finished_ids
from lars_sweep.errors import RunError
from lars_sweep.rundir import requests, workers
from lars_sweep.rundir.launches import read_launches
from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.look import View, look, note_cancelled

LOOK_S = 0.05


def cancel(run: RunDir, *, grace_s: float = 30.0) -> int:
    """Stop all workers; what they hold is checkpointed and `resume` goes on from there.

    Repeating it is safe. A run that is finished has nothing to resume: it is not left cancelled.

    Args:
        run: the run directory.
        grace_s: how long workers on this machine have until they are killed.

    Returns:
        How many workers ran, waited in the queue, or had yet to report in.

    Raises:
        RunError: the run directory takes nothing more; the workers are stopped all the same.
    """
    refused: RunError | None = None
    try:
        requests.request_stop(run, "cancelled")
    except RunError as error:  # a full disk must not keep jobs alive: they are ended without asking
        refused = error
    view = look(run, newer_than=time.time())
    present, arrays = present_workers(run, view), waiting_arrays(run, view)
    canaries = [
        launch.canary
        for launch in read_launches(run)
        if launch.canary is not None and not {*arrays}.isdisjoint(launch.job_ids)
    ]
    cancel_arrays([*arrays, *canaries], "--state=PENDING")
    _stop_here(run, view, grace_s)
    if refused is None:
        _wait_for_slurm(run, view, grace_s)
    done = cancel_arrays([*arrays, *canaries])
    if refused is not None:
        raise RunError(f"the workers were ended without being asked first: {refused}")
    if done and arrays:
        note_cancelled(run, [*arrays, *canaries])
    if is_finished(run):
        requests.withdraw_stop(run)
    return present


def is_finished(run: RunDir) -> bool:
    """Whether every trial of the run has an outcome."""
    return len(finished_ids(run)) >= load_plan(run).total_trials


def _stop_here(run: RunDir, view: View, grace_s: float) -> None:
    """Tell the workers of this machine to stop; kill those that have not after the grace.

    One that still imports is left to report in first: it finds the request, and says how it ended.
    """
    told: set[int] = set()
    until = time.monotonic() + grace_s
    while (here := _here(run, view)) or on_their_way(run):
        if time.monotonic() > until:
            break
        for worker in here:
            if worker.pid not in told:
                _send(worker.pid, signal.SIGTERM)
                told.add(worker.pid)
        time.sleep(LOOK_S)
    for worker in _here(run, view):
        _send(worker.pid, signal.SIGKILL)
    for job_id in on_their_way(run):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(job_id), signal.SIGKILL)  # it leads a session of its own
    until = time.monotonic() + grace_s
    while time.monotonic() < until and (_here(run, view) or on_their_way(run)):
        time.sleep(LOOK_S)


def _here(run: RunDir, view: View) -> list[workers.Worker]:
    return [worker for worker in live_workers(run, view) if workers.is_gone(worker) is False]


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _wait_for_slurm(run: RunDir, view: View, grace_s: float) -> None:
    """Workers look for the request every second, and save their trial before they end."""
    until = time.monotonic() + grace_s
    while time.monotonic() < until:
        if not any(worker.executor == "slurm" for worker in live_workers(run, view)):
            return
        time.sleep(0.2)
