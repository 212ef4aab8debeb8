"""What doctor says of a probe whose job never starts; SLURM here refuses such a job outright."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from lars_sweep.cluster.jobs import JobState, State
from lars_sweep.cluster.profile import Profile
from lars_sweep.dispatch import cluster_doctor


def test_a_job_that_will_never_start_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pending(job_ids: Iterable[str]) -> dict[str, JobState]:
        waiting = {"state": State.PENDING, "reason": "PartitionNodeLimit"}
        return {job: JobState(job_id=job, **waiting) for job in job_ids}

    monkeypatch.setattr(cluster_doctor, "query_jobs", pending)
    profile = Profile(name="x", executor="slurm")
    (check,) = cluster_doctor._judged(profile, tmp_path, "7", "digits")
    assert not check.ok
    assert check.found == (
        "0 of 1 ranks answered; job: pending PartitionNodeLimit: more nodes than the partition "
        "has, so it will never start"
    )
    assert check.advice == "fewer `nodes`"
