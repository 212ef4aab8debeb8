"""One pool of threads per process for work that releases the GIL: reading, hashing, decoding."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_BLOCK = 1024


def thread_count(environment: Mapping[str, str] = os.environ) -> int:
    """This process's share of its cores, which a scheduler may have limited.

    SLURM binds each task to its own; the ranks that torchrun starts all see the whole node.
    """
    ranks = int(environment.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, len(os.sched_getaffinity(0)) // ranks)


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_count(), thread_name_prefix="data")


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """``work`` of each item, in order, at most some 1,000 ahead of the reader."""
    for start in range(0, len(items), _BLOCK):
        yield from _pool().map(work, items[start : start + _BLOCK])
