"""A development cluster for a benchmark (root), and what a user and a watcher do at it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from measuring import since

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "slurm"))

from devcluster.cluster import Cluster
from devcluster.settings import Settings

from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker, read_workers
from lars_sweep.spec.loading import load_sweep
from lars_sweep.spec.strata import DataFacts
from lars_sweep.study.plan import Plan, make_plan


def profile(directory: Path, name: str, text: str = "", **job: object) -> Path:
    """A profile of the cluster, with more keys in ``text``."""
    keys = {"mem_gib": 0.45, "time_limit_min": 30, "cpus_per_task": 1} | job
    rows = "\n".join(f"{key} = {value}" for key, value in keys.items())
    path = directory / f"{name}.toml"
    path.write_text(
        f'executor = "slurm"\nthreads = 1\ncanary = false\nsuccessors = 0\n{text}\n[job]\n{rows}\n'
        '[communication]\ninterface = "lo"\n'
    )
    return path


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Four nodes that take 64 jobs."""
    lab = Cluster(Settings(name=f"b{os.getpid()}", cpus=16).checked())
    lab.up()
    os.environ["SLURM_CONF"] = lab.environ["SLURM_CONF"]
    try:
        yield lab
    finally:
        lab.down(wipe=True)


def command(*words: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "lars_sweep", *map(str, words)],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def timed(*words: str | Path) -> float:
    begin = time.perf_counter()
    command(*words)
    return since(begin)


def plan_of(directory: Path, name: str, text: str, facts: DataFacts) -> Plan:
    sweep = directory / f"{name}.sweep.toml"
    sweep.write_text(text)
    return make_plan(load_sweep(sweep), facts)


def wait(true: Callable[[], object], what: str, every_s: float = 0.2) -> None:
    deadline = time.monotonic() + 1200
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited 20 minutes for {what}")
        time.sleep(every_s)


def finished(run: RunDir) -> int:
    return int(load_table(run, "outcomes", ["status"]).num_rows)


def running(run: RunDir) -> list[Worker]:
    return [worker for worker in read_workers(run.workers) if worker.state == "running"]
