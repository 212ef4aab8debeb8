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
from lars_sweep.dispatch.alive import SETTLE_S, live_workers, on_their_way
from lars_sweep.dispatch.entry import run_worker
from lars_sweep.dispatch.launches import Launch, read_launches, record_intent, record_jobs
from lars_sweep.dispatch.local import DetachedLocalExecutor
from lars_sweep.errors import LaunchError
from lars_sweep.rundir.layout import RunDir
from lars_sweep.worker.order import WorkOrder


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
    _wait_for_unfinished_launch(run)
    missing = wanted - len(live_workers(run)) - on_their_way(run)
    if missing <= 0:
        return None
    launch = Launch(executor=profile.executor, profile=profile.name, workers=missing)
    order = WorkOrder(
        run=run.path,
        executor=profile.executor,
        data_dir=data_dir,
        threads=worker_layout(profile).threads,
        time_limit_s=60.0 * profile.job.time_limit_min,
        import_path=tuple(import_path),
    )
    record_intent(run, launch)
    return record_jobs(run, launch, _submit(run, profile, order, missing))


def _submit(run: RunDir, profile: Profile, order: WorkOrder, count: int) -> list[str]:
    if profile.executor != "local":
        raise LaunchError(f"profile {profile.name}: executor {profile.executor!r} is not built yet")
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


def _wait_for_unfinished_launch(run: RunDir) -> None:
    """Let a launch that was cut off between submission and its record show its workers first."""
    for launch in read_launches(run):
        if not launch.job_ids:
            time.sleep(max(0.0, min(SETTLE_S, launch.at + SETTLE_S - time.time())))
