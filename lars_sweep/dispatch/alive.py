"""Which workers of a run are alive, or about to be."""

from __future__ import annotations

import time
from pathlib import Path

from lars_sweep.dispatch.launches import read_launches
from lars_sweep.rundir import workers
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker

SETTLE_S = 30.0
"""A worker reports in after some seconds of imports, more on a busy machine."""


def live_workers(run: RunDir) -> list[Worker]:
    """Workers that are not known to have ended or died."""
    return [w for w in workers.read_workers(run.workers) if workers.is_gone(w) is not True]


def on_their_way(run: RunDir) -> int:
    """Workers submitted moments ago that have not reported in yet."""
    reported = {worker.job_id for worker in workers.read_workers(run.workers)}
    return sum(
        job_id not in reported and Path(f"/proc/{job_id}").exists()
        for launch in read_launches(run)
        if launch.executor == "local" and time.time() - launch.at < SETTLE_S
        for job_id in launch.job_ids
    )
