"""``python -m lars_sweep.worker ORDER``: what every rank of a SLURM job runs."""

from __future__ import annotations

from lars_sweep.worker import early

if __name__ == "__main__":
    early.catch()  # before the imports below: SLURM may announce an end while they go on

import argparse
import contextlib
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lars_sweep.errors import DamagedFile, LarsSweepError
from lars_sweep.rundir.launches import read_launches
from lars_sweep.rundir.layout import open_run
from lars_sweep.worker import exits
from lars_sweep.worker.ending import NO_WORK_LEFT
from lars_sweep.worker.need import is_needed
from lars_sweep.worker.order import WorkOrder
from lars_sweep.worker.place import Place, slurm_job_id
from lars_sweep.worker.sharing import alone

logger = logging.getLogger(__name__)


def main() -> int:
    """Be one rank, or say whether a worker is needed; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lars_sweep.worker")
    parser.add_argument("order", type=Path)
    parser.add_argument("--needed", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        stream=sys.stderr,
        force=True,
    )
    try:
        order, place = WorkOrder.load(arguments.order), Place.of_slurm()
    except DamagedFile as error:
        logger.error("%s", error)
        return 1
    try:
        return needed(order, place) if arguments.needed else run(order, place)
    except LarsSweepError as error:
        logger.error("%s", error)
        return exits.status_of(error)


def needed(order: WorkOrder, place: Place) -> int:
    """Say whether there is something to do here; the exit status."""
    reason = is_needed(open_run(order.run), order, slurm_job_id(), place)
    logger.info("%s", reason or "there is work")
    return exits.NOT_NEEDED if reason else 0


def run(order: WorkOrder, place: Place) -> int:
    """Be one rank of the job around us."""
    from lars_sweep.worker.worker import work

    if order.workers_per_gpu > 1:
        place = replace(place, tag=alone(order.workers_per_gpu))
    try:
        reason = work(order, job_id=slurm_job_id(), place=place)
    except LarsSweepError as error:
        if exits.is_disk(error):  # its successors would fare no better
            cancel_waiting([slurm_job_id().partition("_")[0]])
        raise
    if reason == NO_WORK_LEFT:
        launches = read_launches(open_run(order.run))
        cancel_waiting([array for launch in launches for array in launch.job_ids])
    if reason in ("preempted", "out of time") and place.last and order.preemption.requeue:
        requeue(slurm_job_id())
    return 0


def cancel_waiting(arrays: Sequence[str]) -> None:
    """Take what still waits out of the queue, where SLURM's commands exist; else each ends soon."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(
            ["scancel", "--quiet", "--state=PENDING", *arrays], capture_output=True, timeout=60
        )


def requeue(job_id: str) -> None:
    """Come back later, where SLURM's commands exist; there is no successor to go on."""
    try:
        subprocess.run(
            ["scontrol", "requeue", job_id], check=True, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("not requeued (%s): `lars-sweep resume` goes on", error)


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # Without the interpreter's own end: there C++ threads of torch may abort a rank that is done,
    # and one aborted rank fails the job.
    os._exit(status)
