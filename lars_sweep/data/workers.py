"""One pool of threads per process for work that releases the GIL: reading, hashing, decoding."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_BLOCK = 1024


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    # The cores of this process, which a scheduler may have limited.
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="data")


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """``work`` of each item, in order, at most some 1,000 ahead of the reader."""
    for start in range(0, len(items), _BLOCK):
        yield from _pool().map(work, items[start : start + _BLOCK])
