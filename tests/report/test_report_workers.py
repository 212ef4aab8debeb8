"""Processes that help with a report: the order, the errors and the end of their work."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from lars_sweep.report.workers import LARGE, MANY_ROWS, Workers


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    with Workers() as started:
        yield started


def test_results_are_in_the_order_of_the_items(workers: Workers) -> None:
    found = workers.mapper(MANY_ROWS)(math.factorial, range(40))
    assert list(found) == [math.factorial(n) for n in range(40)]
    assert len(workers.pids) == 2


def test_a_file_of_the_users_directory_is_no_module_of_a_worker(
    workers: Workers, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('not the library')")
    (tmp_path / "lars_sweep").mkdir()
    (tmp_path / "lars_sweep" / "__init__.py").write_text("raise RuntimeError('not the package')")
    monkeypatch.chdir(tmp_path)
    assert list(workers.mapper(MANY_ROWS)(math.factorial, [3, 4])) == [6, 24]


def test_few_rows_start_nobody(workers: Workers) -> None:
    assert workers.mapper(MANY_ROWS - 1) is map
    assert workers.pids == []


def test_large_tables_start_them_before_anything_is_read(workers: Workers, tmp_path: Path) -> None:
    (tmp_path / "parts" / "outcomes").mkdir(parents=True)
    table = tmp_path / "parts" / "outcomes" / "1.parquet"
    table.write_bytes(bytes(LARGE - 1))
    for small in ([tmp_path], [table], [tmp_path / "absent.csv"]):
        workers.expect(small)
        assert workers.pids == []
    workers.expect([tmp_path, table])
    started = workers.pids
    assert len(started) == 2
    assert workers.mapper(MANY_ROWS) is not map
    assert workers.pids == started


ELSEWHERE = (
    "import os, time\ntime.sleep(0.5)\nif os.getpid() != {here}: raise ValueError('no sigma')"
)


def test_an_error_of_a_helper_is_raised_here(workers: Workers) -> None:
    mapper = workers.mapper(MANY_ROWS)
    with pytest.raises(ValueError, match="no sigma"):
        mapper(exec, [ELSEWHERE.format(here=os.getpid())] * 30)


@pytest.fixture
def only_here(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that no helper can import."""
    module = ModuleType("only_here")
    exec("import time\nclass Unknown: ...\ndef slow(s): time.sleep(s)", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    return module


def test_what_a_helper_cannot_import_is_an_error_too(
    workers: Workers, only_here: ModuleType
) -> None:
    mapper = workers.mapper(MANY_ROWS)
    with pytest.raises(ModuleNotFoundError, match="only_here"):
        mapper(only_here.slow, [0.5] * 30)


def test_a_large_function_that_cannot_be_unpickled_is_an_error_and_no_deadlock(
    workers: Workers, only_here: ModuleType
) -> None:
    large = partial(_ignore, only_here.Unknown(), bytes(5_000_000))
    with pytest.raises(ModuleNotFoundError, match="only_here"):
        workers.mapper(MANY_ROWS)(large, [0.5] * 30)


def _ignore(*_: object) -> None:
    time.sleep(0.05)


def test_a_helper_that_is_killed_is_told_of(workers: Workers) -> None:
    mapper = workers.mapper(MANY_ROWS)
    for pid in workers.pids:
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="ended with status -9; is there enough memory"):
        mapper(time.sleep, [0.2] * 5)


def test_helpers_end_with_the_block() -> None:
    with Workers() as started:
        started.mapper(MANY_ROWS)
        pids = started.pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
