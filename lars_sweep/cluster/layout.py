"""The shape that a profile gives to one worker's job."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from lars_sweep.cluster.devices import local_gpus
from lars_sweep.cluster.profile import Profile

SLURM_WORKERS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLayout:
    """One job: its tasks, and the worlds (groups of ranks that train one trial) they form."""

    nodes: int
    tasks_per_node: int
    gpus_per_node: int
    worlds: int
    """1, unless several workers share the job (``workers_per_gpu`` above 1)."""
    ranks: int
    """Of each world."""
    devices: float
    """Of each world, for device-hours: GPUs (a share of one, when shared), or CPU processes."""
    cpus_per_task: int | None
    """None: the site's default, or this machine's."""
    threads: int
    """CPU threads of each rank."""
    backend: Literal["nccl", "gloo"]


def worker_layout(profile: Profile) -> WorkerLayout:
    """The layout of every job of a profile."""
    job, sharing = profile.job, profile.workers_per_gpu
    gpus, in_one_job = job.gpus_per_node, sharing
    if profile.executor == "local":  # each worker is a process, and a job, of its own
        gpus, in_one_job = min(1, len(gpus_here(profile))), 1
    tasks = gpus * in_one_job or job.tasks_per_node or 1
    worlds = tasks if in_one_job > 1 else 1
    ranks = job.nodes * tasks // worlds
    cpus = job.cpus_per_task
    if job.cpus_per_gpu is not None:
        cpus = max(1, job.cpus_per_gpu // sharing)
    return WorkerLayout(
        nodes=job.nodes,
        tasks_per_node=tasks,
        gpus_per_node=gpus,
        worlds=worlds,
        ranks=ranks,
        devices=ranks / sharing,
        cpus_per_task=cpus,
        threads=profile.threads or cpus or _spare_cores(profile, tasks),
        backend=profile.communication.backend or ("nccl" if gpus else "gloo"),
    )


def worker_limit(profile: Profile) -> int:
    """How many workers may run at once."""
    if profile.workers is not None:
        return profile.workers
    if profile.executor == "slurm":
        return SLURM_WORKERS
    if gpus := gpus_here(profile):
        return len(gpus) * profile.workers_per_gpu
    ranks = profile.job.tasks_per_node or 1
    return max(1, _cores() // (ranks * (profile.threads or 1)))


def gpus_here(profile: Profile) -> tuple[str, ...]:
    """The CUDA devices that local workers share out, one each; none: they train on the CPU."""
    return () if profile.executor != "local" or profile.on_cpu else local_gpus()


def _spare_cores(profile: Profile, tasks: int) -> int:
    """Cores of this machine for each of its ranks; on SLURM a task has one unless it asks."""
    if profile.executor == "slurm":
        return 1
    return max(1, _cores() // (worker_limit(profile) * tasks))


def _cores() -> int:
    return len(os.sched_getaffinity(0))
