"""Bring the workers of a run up to the number wanted; idempotent."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lars_sweep.cluster.layout import gpus_here, worker_layout
from lars_sweep.cluster.profile import Profile
from lars_sweep.dispatch.alive import is_controller, present_workers
from lars_sweep.dispatch.entry import run_worker
from lars_sweep.dispatch.local import DetachedLocalExecutor
from lars_sweep.dispatch.slurm import recover, submit_arrays
from lars_sweep.errors import LaunchError
from lars_sweep.rundir import workers
from lars_sweep.rundir.launches import (
    Launch,
    next_number,
    read_launch,
    read_launches,
    record_intent,
    record_jobs,
)
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.nodes import excluded
from lars_sweep.worker.canary import forget, verdict
from lars_sweep.worker.look import look
from lars_sweep.worker.order import WorkOrder

CUT_OFF_S = 10.0
"""A launch that has not said for so long what it submitted never will, if its process is gone."""
CUT_OFF_ELSEWHERE_S = 60.0
"""The same where its process cannot be seen."""


def submit_workers(
    run: RunDir,
    profile: Profile,
    *,
    wanted: int,
    named: str | None = None,
    data_dir: Path | None = None,
    import_path: Sequence[str] = (),
) -> Launch | None:
    """Submit as many workers as are missing; None if enough are alive or on their way.

    Args:
        run: the run directory.
        profile: where and how they run.
        wanted: how many workers should be alive afterwards.
        named: what `load_profile` took, for a later `resume`; None: the profile's name.
        data_dir: where data sets lie, for the workers.
        import_path: where the user's modules lie.

    Raises:
        LaunchError: submission failed.
    """
    asked = Launch(
        number=0,
        executor=profile.executor,
        profile=named or profile.name,
        workers=wanted,
        data_dir=None if data_dir is None else str(data_dir),
    )
    launch = _agree(run, asked)
    if launch is None:
        return None
    order = work_order(run, profile, data_dir=data_dir, import_path=import_path)
    if profile.executor == "local":
        launch = replace(launch, gpus=free_gpus(run, profile, launch.workers))
        job_ids = tuple(_submit(run, profile, order, launch))
        return record_jobs(run, replace(launch, job_ids=job_ids, through=True))
    canary = not verdict_is_good(run) and profile.canary  # a bad verdict goes in either case
    return submit_arrays(
        run, launch, profile, order, canary=canary, exclude=",".join(sorted(excluded(run)))
    )


def work_order(
    run: RunDir, profile: Profile, *, data_dir: Path | None, import_path: Sequence[str]
) -> WorkOrder:
    """What every worker of a launch is told."""
    return WorkOrder(
        run=run.path,
        executor=profile.executor,
        data_dir=data_dir,
        threads=worker_layout(profile).threads,
        time_limit_s=60.0 * profile.job.time_limit_min,
        workers_per_gpu=profile.workers_per_gpu,
        stage=profile.data.stage,
        checkpoint_every_s=profile.checkpoint_every_s,
        import_path=tuple(import_path),
        preemption=profile.preemption,
        retry=profile.retry,
    )


def verdict_is_good(run: RunDir) -> bool:
    """Whether trials of the run are known to start; a bad verdict is forgotten for another try."""
    if (failed := verdict(run)) == "":
        return True
    if failed is not None:
        forget(run)
    return False


def _agree(run: RunDir, asked: Launch) -> Launch | None:
    """Record what this launch is going to submit of what is asked; None if nothing is missing.

    Launches at once count each other's workers, for the record's number is the lock.
    """
    while True:
        number = next_number(run)  # first: a launch that comes after it takes it
        for earlier in read_launches(run):
            _settled(run, earlier)
        missing = asked.workers - present_workers(run, look(run, newer_than=time.time()))
        if missing <= 0:
            return None
        launch = replace(asked, number=number, workers=missing, at=time.time())
        if record_intent(run, launch):
            return launch


def _settled(run: RunDir, launch: Launch) -> Launch:
    """Let a launch that is under way, or was cut off on it, show its workers first."""
    while not launch.through:
        age_s = time.time() - launch.at
        if launch.executor == "slurm":
            if age_s > (CUT_OFF_ELSEWHERE_S if launch.cut_off is None else CUT_OFF_S) and (
                launch.cut_off is not False
            ):
                return recover(run, launch)
        elif age_s > CUT_OFF_S or _reported(run, launch) >= launch.workers:
            return launch
        time.sleep(0.1)
        launch = read_launch(run, launch.number)
    return launch


def _reported(run: RunDir, launch: Launch) -> int:
    return sum(worker.started_at > launch.at for worker in workers.read_workers(run.workers))


def free_gpus(run: RunDir, profile: Profile, count: int) -> tuple[str, ...]:
    """A CUDA device for each of so many new local workers: those that fewest of the run have."""
    used = Counter(
        gpu
        for launch in read_launches(run)
        for job_id, gpu in zip(launch.job_ids, launch.gpus, strict=False)
        if is_controller(job_id)
    )
    gpus, chosen = gpus_here(profile), []
    for _ in range(count if gpus else 0):
        chosen.append(min(gpus, key=lambda gpu: used[gpu]))
        used[chosen[-1]] += 1
    return tuple(chosen)


def _submit(run: RunDir, profile: Profile, order: WorkOrder, launch: Launch) -> list[str]:
    executor = DetachedLocalExecutor(folder=run.logs)
    executor.update_parameters(timeout_min=profile.job.time_limit_min, signal_delay_s=30)
    devices: Sequence[str | None] = launch.gpus or [None] * launch.workers
    if profile.on_cpu:
        devices = [""] * launch.workers
    jobs: list[Any] = []
    try:
        for device in devices:
            with _environment(order.threads, device):
                jobs.append(executor.submit(run_worker, order))
    except OSError as error:
        raise LaunchError(f"cannot start local workers: {error}") from error
    return [job.job_id for job in jobs]


@contextlib.contextmanager
def _environment(threads: int | None, device: str | None) -> Iterator[None]:
    """BLAS, OpenMP and CUDA read their variables before any code of ours runs."""
    variables = {"CUDA_VISIBLE_DEVICES": device}
    if threads is not None:
        variables |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    before = dict(os.environ)
    os.environ.update({name: value for name, value in variables.items() if value is not None})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
