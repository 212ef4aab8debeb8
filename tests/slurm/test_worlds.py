"""Worlds of several ranks over two nodes, trained by torch: whole, and with a rank that goes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clusterkit import stretched
from devcluster.configuration import limits_memory
from runkit import worker_of
from scipy import stats
from slurmkit import (
    At,
    Site,
    finished,
    known,
    pids,
    releases,
    rows,
    science,
    starts,
    sweep_text,
    until,
    wait_finished,
    wait_running,
)

from lars_sweep.cluster.hosts import expand_hosts
from lars_sweep.cluster.jobs import State
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker
from lars_sweep.study.plan import load_plan
from lars_sweep.train import TorchTrainer

SEEDS = 24
DDP = {"nodes": 2, "tasks_per_node": 2, "mem_gib": 3.0}


def test_four_worlds_of_two_nodes_at_once(at: At) -> None:
    """The local run's trials and endings, and the bits of another run of the same shape."""
    site = at(4)
    text = sweep_text(points=4, steps=12)
    profile = site.profile("canary = false", **DDP)
    four, one, local = (site.plan(text, trainer="torch", name=name) for name in ("4", "1", "local"))
    site.submit(four, profile, 4)
    wait_finished(four)
    site.submit(one, profile, 1)
    wait_finished(one)
    assert science(four) == science(one)
    assert {row["device"] for row in rows(four)} == {f"4 × {_cpu(four)}"}
    worker_of(local, TorchTrainer(threads=1)).work()
    ours, theirs = science(four), science(local)
    assert ours.keys() == theirs.keys()
    assert all(ours[t]["status"] == theirs[t]["status"] for t in quiet(theirs))
    ran = {worker.nodes for worker in known(four)}
    assert all(len(expand_hosts(nodes)) == 2 for nodes in ran)


def quiet(science: dict[str, dict[str, Any]]) -> list[str]:
    """Trials away from the edge of stability."""
    found = [t for t in science if science[t]["base_lr"] < 0.1]
    assert found
    return found


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_four_workers_of_two_nodes_agree_with_the_local_run(at: At, tmp_path: Path) -> None:
    """Same trials; away from the stability edge same endings, and surely within half a point.

    Rounding apart grows to pairs that differ by 0.7 points (standard deviation; one image of val is
    0.4): 8 seeds leave an interval of ±0.57, which can show nothing, 24 one of ±0.3.
    """
    site = at(4)
    text = sweep_text(points=2, steps=200).replace("count = 1", f"count = {SEEDS}")
    run = site.plan(text, trainer="torch")
    site.submit(run, site.profile("canary = false", **DDP), 4)
    wait_finished(run, 2400)
    assert len({worker.array for worker in known(run)}) == 4
    local = site.plan(text, trainer="torch", name="local")
    worker_of(local, TorchTrainer(threads=2)).work()
    ours, theirs = science(run), science(local)
    assert ours.keys() == theirs.keys()
    assert all(ours[t]["status"] == theirs[t]["status"] for t in quiet(ours))
    differences = np.array(  # in pairs of one seed
        [ours[t]["accuracy_val"] - theirs[t]["accuracy_val"] for t in quiet(ours)]
    )
    assert len(differences) == SEEDS
    half_width = stats.t.ppf(0.975, SEEDS - 1) * stats.sem(differences)
    print(f"difference {differences.mean():.3f} ± {half_width:.3f} points over {SEEDS} seeds")
    assert abs(differences.mean()) + half_width < 0.5


def _cpu(run: RunDir) -> str:
    return str(rows(run)[0]["device"]).removeprefix("4 × ")


SLOW = """
import time
from torch import nn

class Slow(nn.Linear):
    def forward(self, x):
        time.sleep(0.05)
        return super().forward(x)

def net(*, num_classes, in_channels, image_size):
    return nn.Sequential(nn.Flatten(), Slow(in_channels * image_size**2, num_classes))
"""


def two_ranks(site: Site) -> tuple[RunDir, Worker]:
    """A run in mid-trial on two nodes of one rank each; the trial takes 10 s at least."""
    text = sweep_text(points=1, steps=200).replace("small_alexnet_bn", "mine:net")
    profile = site.profile("canary = false\nworkers = 1", nodes=2, mem_gib=2.0)
    run = site.launch(text, profile, SLOW)
    return run, wait_running(run, steps=20)


def cause(run: RunDir, trial_id: str) -> str | None:
    """Why the first attempt at the trial ended, once somebody has said so."""
    until(lambda: releases(run, trial_id), "the attempt's end to be noticed")
    return releases(run, trial_id)[0].cause


def test_one_rank_killed(at: At) -> None:
    site = at(2)
    run, worker = two_ranks(site)
    assert worker.trial_id is not None
    killed_at = time.monotonic()
    for pid in pids(site, worker.job_id, 1):
        os.kill(pid, signal.SIGKILL)
    site.lab.wait(worker.job_id, State.FAILED)
    assert time.monotonic() - killed_at < stretched(15)
    assert cause(run, worker.trial_id) == "killed"
    wait_finished(run)
    assert starts(run, worker.trial_id)[-1][0] > 0, "continued from a checkpoint"


def test_one_rank_hangs(at: At) -> None:
    """Stopped, it cannot end itself; the watchdog's 5 minutes are 10 s here."""
    site = at(2)
    run, worker = two_ranks(site)
    assert worker.trial_id is not None
    stopped_at = time.monotonic()
    for pid in pids(site, worker.job_id, 1):
        os.kill(pid, signal.SIGSTOP)
    assert cause(run, worker.trial_id) == "hang"
    assert time.monotonic() - stopped_at > 9
    assert "no step for 1" in releases(run, worker.trial_id)[0].reason
    site.lab.wait(worker.job_id, State.FAILED)
    wait_finished(run)
    assert starts(run, worker.trial_id)[-1][0] > 0, "continued from a checkpoint"


HUNGRY = """
import os
from pathlib import Path
from torch import nn

class Hungry(nn.Linear):
    steps = 0

    def forward(self, x):
        Hungry.steps += self.training
        if os.environ["SLURM_PROCID"] == "1" and Hungry.steps > 20:
            if {always} or not Path("{eaten}").exists():
                Path("{eaten}").touch()
                held = [bytes(b"x" * 2**24) for _ in range(200)]
        return super().forward(x)

def net(*, num_classes, in_channels, image_size):
    return nn.Sequential(nn.Flatten(), Hungry(in_channels * image_size**2, num_classes))
"""


@pytest.mark.parametrize("always", [False, True])
def test_one_rank_out_of_memory(at: At, tmp_path: Path, always: bool) -> None:
    """Retried once by default; then the trial has failed, and says so."""
    assert limits_memory(), "needs the cgroup v1 memory controller: nothing else kills here"
    site = at(2)
    text = sweep_text(points=2, steps=60).replace("small_alexnet_bn", "mine:net")
    profile = site.profile("canary = false\nworkers = 1", nodes=2, mem_gib=1.5)
    eaten = tmp_path / "eaten"
    run = site.launch(text, profile, HUNGRY.format(always=always, eaten=str(eaten)))
    until(eaten.exists, "a rank to eat")
    began = time.monotonic()
    first = known(run)[0]
    # SLURM itself says OUT_OF_MEMORY only if srun did not end the other rank first.
    site.lab.wait(first.job_id, State.OUT_OF_MEMORY, State.FAILED)
    assert time.monotonic() - began < stretched(15)
    trial_id = load_plan(run).queue[0].trial_id
    assert cause(run, trial_id) == "out of memory (host)"
    if always:
        until(lambda: finished(run) >= 1, "the first trial to be given up")
        (row,) = (row for row in rows(run) if row["trial_id"] == trial_id)
        assert (row["status"], row["attempts"]) == ("failed", 2)
        assert "out of memory" in row["cause"]
        return
    wait_finished(run)
    assert {row["status"] for row in rows(run)} <= {"ok", "diverged"}
    assert {row["trial_id"]: row["attempts"] for row in rows(run)}[trial_id] == 2
