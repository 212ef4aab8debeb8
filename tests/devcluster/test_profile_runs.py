"""The devcluster profile, submitted as it is: the ranks get what it promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import submitit
from clusterkit import Lab

from lars_sweep.cluster.layout import worker_layout
from lars_sweep.cluster.loading import load_profile
from lars_sweep.cluster.sbatch import submitit_parameters

pytestmark = pytest.mark.slurm

SHOWN = ("SLURM_PROCID", "OMP_NUM_THREADS", "GLOO_SOCKET_IFNAME", "SLURM_CPUS_PER_TASK")


def looker(names: tuple[str, ...]) -> Callable[[], tuple[str | None, ...]]:
    """A function that is pickled by value, as this module cannot be imported in a job."""

    def look() -> tuple[str | None, ...]:
        import os
        import socket

        return (socket.gethostname(), *(os.environ.get(name) for name in names))

    return look


def test_ranks_get_what_the_profile_promises(take: Callable[[int], Lab], tmp_path: Path) -> None:
    lab, profile = take(2), load_profile("devcluster")
    parameters = submitit_parameters(profile)
    parameters["additional_parameters"]["nodelist"] = ",".join(lab.nodes)
    executor = submitit.SlurmExecutor(folder=tmp_path / "log")
    executor.update_parameters(**parameters)
    job = executor.submit(looker(SHOWN))
    lab.jobs.append(job.job_id)
    ranks = sorted(job.results(), key=lambda rank: rank[1])
    layout = worker_layout(profile)
    assert ranks == [
        (lab.nodes[rank // 2], str(rank), str(layout.threads), "lo", str(layout.cpus_per_task))
        for rank in range(layout.ranks)
    ]
