"""Processes that die by SIGKILL, and what must be equal afterwards."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from runkit import finish

from lars_sweep.outcomes.schema import EXECUTION_COLUMNS
from lars_sweep.outcomes.seal import seal_all, set_aside_unreadable
from lars_sweep.outcomes.store import load_table
from lars_sweep.outcomes.tables import COLUMNS
from lars_sweep.rundir.layout import RunDir, open_run

Science = dict[str, list[dict[str, Any]]]


def science(run: RunDir) -> Science:
    """All rows of all tables, without the columns that tell how a trial was run."""
    return {
        table: [
            {name: value for name, value in row.items() if name not in EXECUTION_COLUMNS}
            for row in load_table(run, table).to_pylist()
        ]
        for table in COLUMNS
    }


def resume(run: RunDir) -> str:
    """What `lars-sweep resume` does, with the worker in this process."""
    set_aside_unreadable(run)
    seal_all(run)
    return finish(run)


def start(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """A process of its own that may be killed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "lars_sweep.worker.worker", "lars_sweep.spec"])
    process = context.Process(target=function, args=arguments)
    process.start()
    return process


def work_until(failpoint: str, path: Path) -> None:
    """Be a worker of the no-op trainer until the failpoint is hit."""
    os.environ["LARS_SWEEP_FAILPOINT"] = failpoint
    finish(open_run(path))


def work(path: Path) -> None:
    finish(open_run(path))
