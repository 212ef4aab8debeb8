"""Several small worlds in one job: each rank trains trials of its own on its share of a GPU."""

from __future__ import annotations

import os
from collections.abc import MutableMapping


def alone(workers_per_gpu: int, environment: MutableMapping[str, str] = os.environ) -> str:
    """Make this rank a world of one, on the GPU that its number among the node's ranks gives it.

    Returns:
        What tells it apart from the others of its job.
    """
    local_rank = int(environment.get("SLURM_LOCALID", "0"))
    environment.pop("SLURM_STEP_NUM_TASKS", None)
    gpus = environment.get("CUDA_VISIBLE_DEVICES", "")
    if gpus:
        # SLURM numbers them as it likes: 0,3 is as good as 0,1.
        environment["CUDA_VISIBLE_DEVICES"] = gpus.split(",")[local_rank // workers_per_gpu]
    return f"r{environment.get('SLURM_PROCID', '0')}-"
