"""What a submitted job runs; pickled by reference, so the job needs only lars_sweep."""

from __future__ import annotations

import logging
import sys

import submitit

from lars_sweep.worker.order import WorkOrder
from lars_sweep.worker.worker import work


def run_worker(order: WorkOrder) -> str:
    """Be one worker of the run; returns why it ended (for submitit's log: we never read it)."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    return work(order, job_id=submitit.JobEnvironment().job_id)
