"""Where a job runs, as SLURM tells it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What distinguishes one run of a SLURM job from another."""

    restarts: int = 0
    """How often the job was started before."""
    nodes: str = ""
    """As in ``dgx[1-2]``."""
    tag: str = ""
    """What tells this worker apart from others of its job."""
    last: bool = True
    """Whether no successor follows: the last task of its array."""

    @staticmethod
    def of_slurm(environment: Mapping[str, str] = os.environ) -> Place:
        """From the variables that SLURM sets in a job."""
        task = environment.get("SLURM_ARRAY_TASK_ID")
        return Place(
            restarts=int(environment.get("SLURM_RESTART_COUNT", "0")),
            nodes=environment.get("SLURM_JOB_NODELIST", ""),
            last=task == environment.get("SLURM_ARRAY_TASK_MAX"),
        )


def slurm_job_id(environment: Mapping[str, str] = os.environ) -> str:
    """``123_4`` for a task of an array, else ``123``."""
    array = environment.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{environment['SLURM_ARRAY_TASK_ID']}" if array else environment["SLURM_JOB_ID"]
