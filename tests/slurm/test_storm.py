"""Many short trials under random accidents of every kind: each is finished exactly once, alike."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from clusterkit import Own
from devcluster.settings import DevClusterError
from slurmkit import (
    At,
    Site,
    finished,
    known,
    pids,
    reference,
    rows,
    science,
    story,
    sweep_text,
)

from lars_sweep.dispatch.slurm import cancel_arrays
from lars_sweep.errors import SchedulerError
from lars_sweep.rundir.launches import read_launches
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker

logger = logging.getLogger(__name__)

WORKERS = 4
PARTITIONS = ("low", "spot", "spotkill")
"""Preempted with 30 s of grace, without, and for good."""
PROFILE = """
canary = false
successors = 4
[preemption]
notice_s = 20
keep_s = 60
[retry]
node_failed = 99
killed = 99
hang = 99
error = 99
exclude_node_after = 99
stop_after = 999"""


class Storm:
    """Accidents that befall a run, one after the other, drawn from one seed."""

    def __init__(self, site: Site, run: RunDir, profiles: Sequence[Path], seed: int) -> None:
        self.site, self.run, self.profiles = site, run, profiles
        self.cluster, self.random = site.lab.cluster, random.Random(seed)
        self.counts: Counter[tuple[str, str]] = Counter()
        self.ballast = run.path / "ballast"
        self.kinds: dict[str, Callable[[Worker], None]] = {
            "rank killed": self.kill,
            "rank stopped": self.stop,
            "task cancelled": self.cancel,
            "array cancelled": self.cancel_array,
            "requeued": self.requeue,
            "preempted": self.preempt,
            "node down": self.node_down,
            "node killed": self.node_killed,
            "controller away": self.no_controller,
            "disk full": self.fill,
        }

    def strike(self) -> None:
        """One accident; counted by its kind and by what its victim was doing."""
        alive = [w for w in known(self.run) if not w.ended and pids(self.site, w.job_id, 0)]
        if not alive:
            time.sleep(0.5)
            return
        victim = self.random.choice(alive)
        # Each kind in turn first, so that none is left to chance.
        done = {kind for kind, _ in self.counts}
        kind = self.random.choice([k for k in self.kinds if k not in done] or list(self.kinds))
        self.counts[kind, phase(victim)] += 1
        with contextlib.suppress(ProcessLookupError, DevClusterError):
            self.kinds[kind](victim)

    def resume(self) -> None:
        """What a user does who sees that workers are gone."""
        with contextlib.suppress(SchedulerError):
            self.site.submit(self.run, self.random.choice(self.profiles), WORKERS)

    def kill(self, victim: Worker) -> None:
        for pid in pids(self.site, victim.job_id, 0):
            os.kill(pid, signal.SIGKILL)

    def stop(self, victim: Worker) -> None:
        for pid in pids(self.site, victim.job_id, 0):
            os.kill(pid, signal.SIGSTOP)
        # One rank alone: its own watchdog is stopped too, so an administrator ends the job.
        time.sleep(self.random.uniform(0, 3))
        self.cluster.run("scancel", "--signal=KILL", victim.job_id)

    def cancel(self, victim: Worker) -> None:
        self.cluster.run("scancel", victim.job_id)

    def cancel_array(self, victim: Worker) -> None:
        self.cluster.run("scancel", victim.array)
        self.resume()

    def cancel_all(self) -> None:
        cancel_arrays([array for launch in read_launches(self.run) for array in launch.job_ids])

    def requeue(self, victim: Worker) -> None:
        self.cluster.run("scontrol", "requeue", victim.job_id)

    def preempt(self, victim: Worker) -> None:
        self.site.lab.submit(
            "sleep 1", "--partition=high", "--exclusive", f"--nodelist={victim.nodes}", "--nodes=1"
        )

    def node_down(self, victim: Worker) -> None:
        self.cluster.set_node(victim.nodes, "down")
        time.sleep(self.random.uniform(0, 2))
        self.cluster.set_node(victim.nodes, "resume")

    def node_killed(self, victim: Worker) -> None:
        self.cluster.kill_node(victim.nodes)
        time.sleep(self.random.uniform(0, 5))
        self.cluster.start_node(victim.nodes)

    def no_controller(self, victim: Worker) -> None:
        self.cluster.stop_controller()
        time.sleep(self.random.uniform(1, 5))
        self.cluster.start_controller()

    def fill(self, victim: Worker) -> None:
        descriptor = os.open(self.ballast, os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(descriptor, b"x" * 4096)
        os.close(descriptor)
        time.sleep(self.random.uniform(0, 3))
        self.ballast.unlink()
        self.resume()


def phase(worker: Worker) -> str:
    """What a worker was doing."""
    if worker.state != "running":
        return worker.state
    return ("early", "middle", "late")[min(2, 3 * worker.steps_done // max(1, worker.steps))]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("trials", "accidents"), [(60, 20), pytest.param(300, 100, marks=pytest.mark.long)]
)
def test_every_trial_is_finished_once_whatever_happens(
    own: Own,
    at: At,
    tmpfs: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trials: int,
    accidents: int,
) -> None:
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.3")  # 9 s a trial: enough work for all accidents
    site = at(own(nodes=4))
    site.folder = tmpfs("size=8m")
    run = site.plan(sweep_text(points=trials, steps=30))
    profiles = [site.profile(PROFILE, name=kind, partition=kind) for kind in PARTITIONS]
    seed = int(os.environ.get("STORM_SEED", time.time_ns() % 10_000))
    storm = Storm(site, run, profiles, seed)
    storm.resume()
    began = time.monotonic()
    while storm.counts.total() < accidents and finished(run) < trials:
        time.sleep(storm.random.uniform(0.2, 3))
        storm.strike()
        storm.resume()
    left = trials - finished(run)
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.02")  # for the workers that come now
    storm.cancel_all()
    deadline = time.monotonic() + 1200
    while finished(run) < trials:
        assert time.monotonic() < deadline, f"seed {seed}: {finished(run)} done\n{story(run)}"
        storm.resume()
        time.sleep(1)
    table = "\n".join(f"{kind:16} {at_:9} {n}" for (kind, at_), n in sorted(storm.counts.items()))
    told = f"seed {seed}, {time.monotonic() - began:.0f} s, {left} left after the storm\n{table}"
    print(told)
    assert storm.counts.total() >= accidents * 3 // 4, f"the run was over too soon, seed {seed}"
    assert science(run) == reference(run, tmp_path), f"seed {seed}"
    assert len(rows(run)) == trials
    if "STORM_RESULT" in os.environ:
        Path(os.environ["STORM_RESULT"]).write_text(f"{trials} trials, each once\n{told}\n")
