"""Development clusters for tests: one that all xdist workers share, and some of a test's own.

Where SLURM or root is missing the tests are skipped and say what to install; in CI that is a
failure. Every wait polls quickly and gives up late: a busy machine makes tests slow, not red.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pytest
from devcluster.cluster import Cluster
from devcluster.settings import DevClusterError, Settings, require_host

from lars_sweep.cluster.jobs import JobState, State
from lars_sweep.cluster.scheduler import query_jobs

WAIT_S = 180.0
"""Cap of a wait for what takes seconds on a quiet machine."""

Take = Callable[[int], "Lab"]
Own = Callable[..., "Lab"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A conftest's hook: a machine that carries no cluster is told apart from a broken one."""
    if item.get_closest_marker("slurm"):
        try:
            require_host(Settings().checked())
        except DevClusterError as error:
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def accounted(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Ten nodes, with accounting: enough for four tests at once, of which one takes four."""
    with _shared(Settings(name=_name(request, "a"), nodes=10)) as cluster:
        yield cluster


@dataclass
class Lab:
    """Nodes that belong to one test, and the jobs it runs there."""

    cluster: Cluster
    nodes: list[str]
    folder: Path
    jobs: list[str] = field(default_factory=list)

    def submit(self, script: str, *options: str) -> str:
        """Submits to this test's nodes unless the options name others; the job's id."""
        file = self.folder / f"job-{len(self.jobs)}.sh"
        file.write_text(f"#!/bin/bash\n{script}\n")
        fixed = [f"--output={self.folder}/%j.out", "--open-mode=append"]
        if not any(option.startswith("--nodelist") for option in options):
            fixed += [f"--nodelist={','.join(self.nodes)}", f"--nodes={len(self.nodes)}"]
        job = self.cluster.run("sbatch", "--parsable", *fixed, *options, str(file)).strip()
        self.jobs.append(job)
        return job

    def state(self, job_id: str) -> JobState:
        return query_jobs([job_id])[job_id]

    def wait(self, job_id: str, *states: State, seconds: float = WAIT_S) -> JobState:
        """Polls until the job is in one of the states."""
        deadline = time.monotonic() + seconds
        while (now := self.state(job_id)).state not in states:
            assert time.monotonic() < deadline, f"waited {seconds} s for {states}: {now}"
            time.sleep(0.3)
        return now

    def output(self, job_id: str, word: str = "", seconds: float = WAIT_S) -> str:
        """What the job has printed, once it has printed the word."""
        file = self.folder / f"{job_id}.out"
        deadline = time.monotonic() + seconds
        while not file.exists() or word not in file.read_text():
            said = file.read_text() if file.exists() else "nothing"
            assert time.monotonic() < deadline, f"{job_id} did not print {word!r} but {said}"
            time.sleep(0.1)
        return file.read_text()

    def clear(self) -> None:
        """Cancels this test's jobs and waits until its nodes are free of them."""
        if not self.jobs:
            return
        self.cluster.run("scancel", *self.jobs)
        deadline = time.monotonic() + WAIT_S
        while self.cluster.run("squeue", "-h", f"--jobs={','.join([*self.jobs, '1'])}"):
            assert time.monotonic() < deadline, f"{self.jobs} are still there"
            time.sleep(0.2)


@pytest.fixture
def take(accounted: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Take]:
    """``take(2)``: two nodes for this test alone, however many tests run beside it."""
    with ExitStack() as stack:

        def reserve(count: int) -> Lab:
            monkeypatch.setenv("SLURM_CONF", accounted.environ["SLURM_CONF"])
            lab = Lab(accounted, _reserved(accounted, count, stack), tmp_path)
            stack.callback(lab.clear)
            return lab

        yield reserve


@pytest.fixture
def own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Own]:
    """``own(nodes=2, accounting=False)``: a cluster whose controller nobody else would miss."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Lab:
            name = _name(request, "o", request.node.nodeid)
            cluster = Cluster(Settings(name=name, **settings).checked())
            stack.callback(cluster.down, wipe=True)
            cluster.up()
            monkeypatch.setenv("SLURM_CONF", cluster.environ["SLURM_CONF"])
            return Lab(cluster, cluster.settings.node_names, tmp_path)

        yield start


def stretched(seconds: float) -> float:
    """A time that is promised on a quiet machine, longer where others make this one busy."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def _name(request: pytest.FixtureRequest, kind: str, salt: str = "") -> str:
    """The same in all xdist workers of a run, another in every other run."""
    worker_input = getattr(request.config, "workerinput", {})
    run = worker_input.get("testrunuid", f"{os.getpid()} {_STARTED}")
    return kind + hashlib.sha256(f"{run} {salt}".encode()).hexdigest()[:7]


_STARTED = time.time()


@contextmanager
def _shared(settings: Settings) -> Iterator[Cluster]:
    """The first user starts the cluster, the last one stops it; a killed user counts as gone."""
    cluster = Cluster(settings.checked())
    cluster.base.parent.mkdir(parents=True, exist_ok=True)
    lock = cluster.base.with_suffix(".users")
    with _joined(lock) as users:
        try:
            with lock.with_suffix(".starting").open("w") as starting:
                _flock(starting, fcntl.LOCK_EX)
                if not cluster.running:  # else another test may just have killed a node of it
                    cluster.up()
            yield Cluster(cluster.settings)
        finally:
            if _flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB):
                cluster.down(wipe=True)
                lock.with_suffix(".starting").unlink()
                lock.unlink()


def _joined(lock: Path) -> TextIO:
    """The lock file, held together with the other users of the cluster."""
    while True:
        users = lock.open("w")
        _flock(users, fcntl.LOCK_SH)
        if lock.exists() and lock.samefile(f"/proc/self/fd/{users.fileno()}"):
            return users
        users.close()  # the last user removed it while we waited


def _reserved(cluster: Cluster, count: int, stack: ExitStack) -> list[str]:
    """Waits until so many nodes are free, then takes them all at once."""
    while True:
        with ExitStack() as taken:
            nodes: list[str] = []
            for node in cluster.settings.node_names:
                file = taken.enter_context((cluster.base / f"run/{node}.test").open("w"))
                if len(nodes) < count and _flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB):
                    nodes.append(node)
            if len(nodes) == count:
                stack.push(taken.pop_all())
                return nodes
        time.sleep(0.3)


def _flock(file: TextIO, operation: int) -> bool:
    try:
        fcntl.flock(file, operation)
    except BlockingIOError:
        return False
    return True
