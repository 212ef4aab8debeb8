"""Launch records: what was submitted, written before and after, so that a crash between is seen.

Records are numbered and published by link: of two launches at once, the second one finds its number
taken and looks again, with the first one's workers in view.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lars_sweep.rundir import publish
from lars_sweep.rundir.failpoints import failpoint
from lars_sweep.rundir.layout import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One submission of workers."""

    number: int
    executor: str
    profile: str
    workers: int
    job_ids: tuple[str, ...] = ()
    """Empty until the submission is through."""
    at: float = field(default_factory=time.time)


def record_intent(run: RunDir, launch: Launch) -> bool:
    """Say what is about to be submitted; False if another launch took the number."""
    first = publish.publish_new(_path(run, launch.number), publish.to_json_bytes(asdict(launch)))
    failpoint("submit-recorded")
    return first


def record_jobs(run: RunDir, launch: Launch, job_ids: Sequence[str]) -> Launch:
    """Say what was submitted."""
    failpoint("submitted")
    launch = replace(launch, job_ids=tuple(job_ids))
    publish.replace(_path(run, launch.number), publish.to_json_bytes(asdict(launch)))
    return launch


def read_launches(run: RunDir) -> list[Launch]:
    """All launches in order."""
    numbers = sorted(int(name.removesuffix(".json")) for name in publish.names(run.launches))
    return [read_launch(run, number) for number in numbers]


def read_launch(run: RunDir, number: int) -> Launch:
    content = publish.read_json(_path(run, number))
    content["job_ids"] = tuple(content["job_ids"])  # type: ignore[arg-type]
    return Launch(**content)  # type: ignore[arg-type]


def _path(run: RunDir, number: int) -> Path:
    return run.launches / f"{number}.json"
