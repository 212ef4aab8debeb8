"""Who belongs to a world, as the environment tells it."""

from __future__ import annotations

import pytest

from lars_sweep.errors import TrainError
from lars_sweep.train.world import World, first_host, place


@pytest.mark.parametrize(
    ("nodelist", "host"),
    [
        ("gpu7", "gpu7"),
        ("gpu[007-009,12],login", "gpu007"),
        ("a-1,b-2", "a-1"),
        ("rack[1-2]n[3-4]", "rack1n3"),
    ],
)
def test_first_host_of_a_slurm_node_list(nodelist: str, host: str) -> None:
    assert first_host(nodelist) == host


def test_the_world_of_a_slurm_step_and_of_a_lone_batch_script() -> None:
    step = {
        "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8", "SLURM_LOCALID": "1",
        "SLURM_JOB_ID": "41", "SLURM_STEP_ID": "2", "SLURM_STEP_NODELIST": "n[5-6]",
    }  # fmt: skip
    assert place(step) == (World(3, 8, 1), f"n5:{20000 + 41 * 16 + 2}")
    assert place({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}) is None


def test_half_a_torchrun_environment_is_refused() -> None:
    with pytest.raises(TrainError, match="WORLD_SIZE is 2 but 'RANK' is not set"):
        World.join(cuda=False, environment={"WORLD_SIZE": "2"})
