"""The processes that train one trial together; one process is a world of one.

Every collective of the package is here. All of them are called by all ranks in the same order and
give every rank the same bits, so that what follows from their results needs no further agreement.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from lars_sweep.errors import TrainError, WorldLost

# Followers wait in a broadcast while rank 0 looks for the next trial. A dead rank closes its
# connections and is noticed at once; a hung one by the heartbeat, which the training loop advances.
_PATIENCE = timedelta(days=7)


BACKEND = "LARS_SWEEP_BACKEND"
"""Of CUDA tensors, where NCCL does not work: gloo."""


@dataclass(frozen=True, slots=True)
class World:
    """Rank and size of this process's world, and what its ranks do together."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    """Number of this process among those of its node: the index of its CUDA device."""

    @staticmethod
    def join(*, cuda: bool, environment: Mapping[str, str] = os.environ) -> World:
        """The world that torchrun or SLURM describes in the environment; else a world of one.

        Raises:
            TrainError: the environment is contradictory, or the other ranks cannot be reached.
        """
        found = place(environment)
        if found is None:
            return World()
        world, address = found
        if not 0 <= world.rank < world.size:
            raise TrainError(
                f"rank {world.rank} of a world of {world.size}: RANK must be 0 … WORLD_SIZE-1; "
                "start the processes with torchrun or srun"
            )
        if not dist.is_initialized():
            try:
                dist.init_process_group(
                    f"cpu:gloo,cuda:{environment.get(BACKEND, 'nccl')}" if cuda else "gloo",
                    init_method=f"tcp://{address}",
                    rank=world.rank,
                    world_size=world.size,
                    timeout=_PATIENCE,
                )
            except (dist.DistError, OSError) as error:
                raise TrainError(
                    f"rank {world.rank} of {world.size} cannot join its world at {address}: "
                    f"{error}; check that the nodes reach each other on that port"
                ) from error
        return world

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which talks to the worker and writes files."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The tensor summed over ranks, in place."""
        if self.size > 1:
            with _together():
                dist.all_reduce(tensor)
        return tensor

    def max(self, tensor: Tensor) -> Tensor:
        """The elementwise maximum over ranks, in place."""
        if self.size > 1:
            with _together():
                dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
        return tensor

    def agree(self, value: int) -> int:
        """The largest of the ranks' values; one small message, no device synchronisation."""
        return value if self.size == 1 else int(self.max(torch.tensor(value)))

    def broadcast(self, content: bytes | None) -> bytes:
        """Rank 0's bytes, on every rank; the others pass None."""
        if self.size == 1:
            assert content is not None
            return content
        with _together():
            length = torch.tensor(0 if content is None else len(content))
            dist.broadcast(length, src=0)
            buffer = torch.empty(int(length), dtype=torch.uint8)
            if content:
                buffer.copy_(_bytes_tensor(content))
            if len(buffer):
                dist.broadcast(buffer, src=0)
        return content if content is not None else buffer.numpy().tobytes()

    def share(self, count: int) -> tuple[int, int]:
        """This rank's part [first, stop) of ``count`` things dealt as consecutive runs.

        Parts differ by at most one and may be empty.
        """
        return self.rank * count // self.size, (self.rank + 1) * count // self.size

    def leave(self) -> None:
        """Close the connections; the world cannot be used afterwards."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()


@contextmanager
def _together() -> Iterator[None]:
    """A collective: that it fails means that another rank is gone; gloo has no error of its own."""
    try:
        yield
    except RuntimeError as error:
        raise WorldLost(f"another rank is gone: {str(error).splitlines()[0]}") from error


def _bytes_tensor(content: bytes) -> Tensor:
    with warnings.catch_warnings():
        # torch warns that the memory of bytes is read-only; it is only read.
        warnings.filterwarnings("ignore", message="The given buffer is not writable")
        return torch.frombuffer(content, dtype=torch.uint8)


def place(environment: Mapping[str, str]) -> tuple[World, str] | None:
    """(world, "host:port" of rank 0), or None for a process on its own."""
    if int(environment.get("WORLD_SIZE", "1")) > 1:
        try:
            rank, host, port = (environment[key] for key in ("RANK", "MASTER_ADDR", "MASTER_PORT"))
        except KeyError as missing:
            raise TrainError(
                f"WORLD_SIZE is {environment['WORLD_SIZE']} but {missing} is not set; "
                "start the processes with torchrun or srun, or unset WORLD_SIZE"
            ) from None
        local_rank = int(environment.get("LOCAL_RANK", rank))
        return World(int(rank), int(environment["WORLD_SIZE"]), local_rank), f"{host}:{port}"
    # SLURM_STEP_NUM_TASKS is set by srun only; SLURM_NTASKS also in a batch script, which is alone.
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        world = World(
            int(environment["SLURM_PROCID"]),
            int(environment["SLURM_STEP_NUM_TASKS"]),
            int(environment["SLURM_LOCALID"]),
        )
        # Jobs that share a node must not share a port; job and step number are theirs alone. A
        # requeued job keeps both, and its last run may not have let go of the port yet.
        step = int(environment["SLURM_STEP_ID"]) + int(environment.get("SLURM_RESTART_COUNT", "0"))
        number = int(environment["SLURM_JOB_ID"]) * 16 + step
        return world, f"{first_host(environment['SLURM_STEP_NODELIST'])}:{20000 + number % 12000}"
    return None


def first_host(nodelist: str) -> str:
    """The first host of a SLURM node list: ``gpu[007-009,12],login`` → ``gpu007``."""
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", re.split(r",(?![^\[]*\])", nodelist)[0])
