"""A profile in submitit's words: pure, so that it can be read and tested without a cluster."""

from __future__ import annotations

import shlex
from typing import Any

from lars_sweep.cluster.layout import WorkerLayout, worker_layout
from lars_sweep.cluster.profile import EnvironmentSection, Profile


def submitit_parameters(profile: Profile) -> dict[str, Any]:
    """Parameters for ``submitit.SlurmExecutor.update_parameters``, without name and dependency."""
    job, layout = profile.job, worker_layout(profile)
    optional = {
        "partition": job.partition,
        "account": job.account,
        "qos": job.qos,
        "constraint": job.constraint,
        "gpus_per_node": _gpus(profile),
        "cpus_per_task": layout.cpus_per_task,
        "mem": _memory(job.mem_gib),
        "mem_per_gpu": _memory(job.mem_per_gpu_gib),
        "exclusive": job.exclusive or None,
    }
    return {
        "nodes": layout.nodes,
        "ntasks_per_node": layout.tasks_per_node,
        "time": job.time_limit_min,
        "setup": setup_lines(profile, layout),
        "srun_args": srun_arguments(profile.environment, layout),
        # submitit's own --wckey=submitit is refused where keys are enforced.
        "wckey": None,
        "additional_parameters": {
            "signal": f"{profile.preemption.signal}@{profile.preemption.notice_s}",
            "requeue" if profile.preemption.requeue else "no-requeue": True,
            **profile.sbatch,
        },
        **{name: value for name, value in optional.items() if value is not None},
    }


def setup_lines(profile: Profile, layout: WorkerLayout) -> list[str]:
    """Shell lines that run in the batch script before the ranks start."""
    interface = profile.communication.interface
    variables = {"OMP_NUM_THREADS": str(layout.threads)}
    if interface:
        variables |= {"NCCL_SOCKET_IFNAME": interface, "GLOO_SOCKET_IFNAME": interface}
    if layout.gpus_per_node and layout.backend != "nccl":
        variables["LARS_SWEEP_BACKEND"] = layout.backend
    variables |= profile.environment.variables
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    # Where jobs start with a clean environment (--export=NONE) srun would drop all of this again.
    return [*exports, *profile.environment.setup, "unset SLURM_EXPORT_ENV"]


def srun_arguments(environment: EnvironmentSection, layout: WorkerLayout) -> list[str]:
    """Arguments of the srun that starts the ranks."""
    # srun leaves the other ranks alone when one dies: they would sit in a collective for ever.
    # Where each rank is a worker of its own the others go on.
    arguments = ["--kill-on-bad-exit=1"] if layout.worlds == 1 else []
    if layout.cpus_per_task is not None:
        # Since SLURM 22.05 srun does not inherit it from sbatch: ranks would share one core.
        arguments.append(f"--cpus-per-task={layout.cpus_per_task}")
    if environment.container_image:
        arguments.append(f"--container-image={environment.container_image}")
    if environment.container_mounts:
        arguments.append(f"--container-mounts={','.join(environment.container_mounts)}")
    return arguments


def _memory(gib: float | None) -> str | None:
    # 0 would be all that a node has.
    return None if gib is None else f"{max(1, round(gib * 1024))}M"


def _gpus(profile: Profile) -> int | str | None:
    count, kind = profile.job.gpus_per_node, profile.job.gpu_type
    return f"{kind}:{count}" if kind else count or None
