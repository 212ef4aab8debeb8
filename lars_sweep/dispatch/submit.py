"""Bring the workers of a run up to the number wanted; idempotent."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lars_sweep.cluster.layout import worker_layout
from lars_sweep.cluster.profile import Profile
from lars_sweep.dispatch.alive import live_workers, on_their_way
from lars_sweep.dispatch.entry import run_worker
from lars_sweep.dispatch.launches import (
    Launch,
    read_launch,
    read_launches,
    record_intent,
    record_jobs,
)
from lars_sweep.dispatch.local import DetachedLocalExecutor
from lars_sweep.errors import LaunchError
from lars_sweep.rundir import workers
from lars_sweep.rundir.layout import RunDir
from lars_sweep.worker.order import WorkOrder

CUT_OFF_S = 10.0
"""A launch that has not said for so long what it submitted never will."""


def submit_workers(
    run: RunDir,
    profile: Profile,
    *,
    wanted: int,
    data_dir: Path | None = None,
    import_path: Sequence[str] = (),
) -> Launch | None:
    """Submit as many workers as are missing; None if enough are alive or on their way.

    Args:
        run: the run directory.
        profile: where and how they run.
        wanted: how many workers should be alive afterwards.
        data_dir: where data sets lie, for the workers.
        import_path: where the user's modules lie.

    Raises:
        LaunchError: submission failed.
    """
    if profile.executor != "local":
        raise LaunchError(f"profile {profile.name}: executor {profile.executor!r} is not built yet")
    launch = _agree(run, profile, wanted)
    if launch is None:
        return None
    order = WorkOrder(
        run=run.path,
        executor=profile.executor,
        data_dir=data_dir,
        threads=worker_layout(profile).threads,
        time_limit_s=60.0 * profile.job.time_limit_min,
        import_path=tuple(import_path),
    )
    return record_jobs(run, launch, _submit(run, profile, order, launch.workers))


def _agree(run: RunDir, profile: Profile, wanted: int) -> Launch | None:
    """Record what this launch is going to submit; None if nothing is missing.

    Launches at once count each other's workers, for the record's number is the lock.
    """
    while True:
        launches = read_launches(run)
        for launch in launches:
            _wait_until_through(run, launch)
        missing = wanted - len(live_workers(run)) - on_their_way(run)
        if missing <= 0:
            return None
        launch = Launch(
            number=1 + max((launch.number for launch in launches), default=0),
            executor=profile.executor,
            profile=profile.name,
            workers=missing,
        )
        if record_intent(run, launch):
            return launch


def _wait_until_through(run: RunDir, launch: Launch) -> None:
    """Let a launch that is under way, or was cut off on it, show its workers first."""
    while time.time() - launch.at < CUT_OFF_S and not launch.job_ids:
        started = [w for w in workers.read_workers(run.workers) if w.started_at > launch.at]
        if len(started) >= launch.workers:
            return
        time.sleep(0.1)
        launch = read_launch(run, launch.number)


def _submit(run: RunDir, profile: Profile, order: WorkOrder, count: int) -> list[str]:
    executor = DetachedLocalExecutor(folder=run.logs / "%j")
    executor.update_parameters(timeout_min=profile.job.time_limit_min, signal_delay_s=30)
    try:
        with _environment(order.threads):
            jobs: list[Any] = [executor.submit(run_worker, order) for _ in range(count)]
    except OSError as error:
        raise LaunchError(f"cannot start local workers: {error}") from error
    return [job.job_id for job in jobs]


@contextlib.contextmanager
def _environment(threads: int | None) -> Iterator[None]:
    """BLAS and OpenMP read their thread counts before any code of ours runs."""
    if threads is None:
        yield
        return
    before = dict(os.environ)
    os.environ.update(OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
