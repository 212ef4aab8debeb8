"""Launch records: what was submitted, written before and after, so that a crash between is seen."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from lars_sweep.rundir import publish
from lars_sweep.rundir.failpoints import failpoint
from lars_sweep.rundir.layout import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One submission of workers."""

    launch_id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    executor: str
    profile: str
    workers: int
    job_ids: tuple[str, ...] = ()
    """Empty until the submission is through."""
    at: float = field(default_factory=time.time)


def record_intent(run: RunDir, launch: Launch) -> None:
    """Say what is about to be submitted."""
    _write(run, launch)
    failpoint("submit-recorded")


def record_jobs(run: RunDir, launch: Launch, job_ids: Sequence[str]) -> Launch:
    """Say what was submitted."""
    failpoint("submitted")
    launch = replace(launch, job_ids=tuple(job_ids))
    _write(run, launch)
    return launch


def read_launches(run: RunDir) -> list[Launch]:
    """All launches, oldest first."""
    launches = []
    for name in publish.names(run.launches):
        content = publish.read_json(run.launches / name)
        content["job_ids"] = tuple(content["job_ids"])  # type: ignore[arg-type]
        launches.append(Launch(**content))  # type: ignore[arg-type]
    return sorted(launches, key=lambda launch: launch.at)


def _write(run: RunDir, launch: Launch) -> None:
    publish.replace(
        run.launches / f"{launch.launch_id}.json", publish.to_json_bytes(asdict(launch))
    )
