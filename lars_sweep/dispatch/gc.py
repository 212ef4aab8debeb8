"""Removing what a run no longer needs: checkpoints and attempt logs of sealed trials, old logs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lars_sweep.dispatch.trials import finished_ids
from lars_sweep.outcomes.seal import ORDER
from lars_sweep.rundir import publish, workers
from lars_sweep.rundir.layout import RunDir
from lars_sweep.worker.logs import log_files

LEFT_BEHIND_S = 3600.0
"""An unfinished file of this age belongs to no living writer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """What can go, or went."""

    files: int
    size_bytes: int


def collect_garbage(run: RunDir, *, older_than_s: float, dry_run: bool = False) -> Garbage:
    """Remove checkpoints and evaluation logs of finished trials, and logs of ended jobs.

    Args:
        run: the run directory.
        older_than_s: job logs younger than this stay, in seconds.
        dry_run: only count.
    """
    files = size = 0
    for path in _garbage(run, older_than_s):
        try:
            size += path.stat().st_size
            if not dry_run:
                path.unlink()
        except FileNotFoundError:
            continue  # a worker removed it
        files += 1
    if not dry_run:
        for trial_id in finished_ids(run):
            run.drop_checkpoints(trial_id)  # its folders: they count as inodes too
    return Garbage(files=files, size_bytes=size)


def _garbage(run: RunDir, older_than_s: float) -> Iterator[Path]:
    done = finished_ids(run)
    for directory in (run.path / "checkpoints").iterdir():
        if directory.name in done:
            yield from (path for path in directory.rglob("*") if path.is_file())
    for log in (run.path / "attempts").iterdir():
        if log.name.partition(".")[0] in done:
            yield log
    now = time.time()
    at_work = [w.job_id for w in workers.read_workers(run.workers) if not w.ended]
    written = {log for job_id in at_work for log in log_files(run, job_id)}
    for log in run.logs.rglob("*"):
        if log.is_file() and log not in written and now - log.stat().st_mtime > older_than_s:
            yield log
    for path in (*run.path.rglob(f"{publish.TEMPORARY_PREFIX}*"), *_parts_without_outcomes(run)):
        if path.is_file() and now - path.stat().st_mtime > LEFT_BEHIND_S:
            yield path


def _parts_without_outcomes(run: RunDir) -> Iterator[Path]:
    """What a sealer wrote before it died: the part's outcomes are published last."""
    whole = set(publish.names(run.parts("outcomes")))
    for table in ORDER[:-1]:
        yield from (run.parts(table) / n for n in publish.names(run.parts(table)) if n not in whole)
