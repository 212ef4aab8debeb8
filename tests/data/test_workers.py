"""Threads of one process for reading and decoding."""

from __future__ import annotations

import os

import pytest

from lars_sweep.data.workers import thread_count


def test_a_process_alone_uses_all_of_its_cores() -> None:
    assert thread_count({}) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("ranks", "threads"), [(1, 8), (2, 4), (3, 2), (8, 1), (16, 1)])
def test_ranks_that_see_the_same_cores_share_them(monkeypatch, ranks: int, threads: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert thread_count({"LOCAL_WORLD_SIZE": str(ranks)}) == threads
