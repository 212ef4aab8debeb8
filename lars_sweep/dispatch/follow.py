"""The log of the job behind a trial, whole or as it grows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from lars_sweep.dispatch.why import find_trial
from lars_sweep.errors import RunError
from lars_sweep.rundir import claims, workers
from lars_sweep.rundir.layout import RunDir
from lars_sweep.worker.logs import last_log_about, log_files

LOOK_S = 0.5


def job_log(run: RunDir, beginning: str) -> Path:
    """Log of rank 0 of the job that took the trial last.

    Raises:
        RunError: nobody has taken it yet, or what is left does not say who did.
    """
    trial_id = find_trial(run, beginning)
    attempt = claims.attempts(run.claims, trial_id)
    claim = claims.read_claim(run.claims, trial_id, attempt) if attempt else None
    known = {worker.worker_id: worker for worker in workers.read_workers(run.workers)}
    worker = known.get(claim.worker_id) if claim else None
    if worker is not None and (files := log_files(run, worker.job_id)):
        return files[0]
    if (path := last_log_about(run, trial_id)) is not None:
        return path
    raise RunError(f"no log in {run.logs} tells of trial {trial_id}")


def tail(path: Path) -> Iterator[str]:
    """What is there, then what comes, for ever."""
    with path.open(errors="replace") as file:
        while True:
            if text := file.read():
                yield text
            else:
                time.sleep(LOOK_S)
