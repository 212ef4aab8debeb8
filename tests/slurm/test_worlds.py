"""Worlds of several ranks over two nodes, trained by torch: whole, and with a rank that goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from devcluster.configuration import limits_memory
from runkit import worker_of
from slurmkit import (
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

from lars_sweep.cluster.jobs import State
from lars_sweep.rundir.layout import RunDir, open_run
from lars_sweep.rundir.workers import Worker
from lars_sweep.train import TorchTrainer

pytestmark = pytest.mark.slurm
At = Callable[[int], Site]


def test_two_nodes_of_two_ranks_give_the_same_bits_twice(at: At) -> None:
    site = at(2)
    text = sweep_text(points=2, steps=12)
    profile = site.profile("canary = false\nworkers = 1", nodes=2, tasks_per_node=2, mem_gib=3.0)
    runs = [site.plan(text, trainer="torch", name=name) for name in ("one", "two")]
    for run in runs:
        site.submit(run, profile, 1)
        wait_finished(run, 120)
    assert science(runs[0]) == science(runs[1])
    assert {row["device"] for row in rows(runs[0])} == {f"4 × {_cpu(runs[0])}"}


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_four_workers_of_two_nodes_agree_with_the_local_run(at: At, tmp_path: Path) -> None:
    """Same trials, same endings; the mean accuracy over eight seeds within half a point."""
    site = at(4)
    text = sweep_text(points=2, steps=200).replace("count = 1", "count = 8")
    run = site.plan(text, trainer="torch")
    profile = site.profile("canary = false", nodes=2, tasks_per_node=2, mem_gib=3.0)
    site.submit(run, profile, 4)
    wait_finished(run, 1200)
    assert len({worker.array for worker in known(run)}) == 4
    local = site.plan(text, trainer="torch", name="local")
    worker_of(local, TorchTrainer(threads=2)).work()
    ours, theirs = science(run), science(local)
    assert ours.keys() == theirs.keys()
    assert all(ours[t]["status"] == theirs[t]["status"] for t in ours)
    # Away from the edge of stability; in pairs of one seed.
    quiet = [t for t in ours if ours[t]["base_lr"] < 0.1]
    differences = np.array([ours[t]["accuracy_val"] - theirs[t]["accuracy_val"] for t in quiet])
    assert len(differences) == 8
    half_width = 2.365 * differences.std(ddof=1) / np.sqrt(8)  # Student's t, 7 degrees of freedom
    print(f"difference {differences.mean():.3f} ± {half_width:.3f} points over 8 seeds")
    assert abs(differences.mean()) + half_width < 0.5


def _cpu(run: RunDir) -> str:
    return str(rows(run)[0]["device"]).removeprefix("4 × ")


def two_ranks(site: Site, text: str = "") -> tuple[RunDir, Worker]:
    """A run of two trials in mid-trial on two nodes of one rank each."""
    run = site.plan(sweep_text(points=2, steps=150), trainer="torch")
    profile = site.profile(f"canary = false\n{text}", nodes=2, mem_gib=2.0)
    site.submit(run, profile, 1)
    return run, wait_running(run, steps=20, seconds=90)


def cause(run: RunDir, worker: Worker) -> str | None:
    """Why the worker's attempt at its trial ended, once somebody has said so."""
    trial_id = worker.trial_id
    assert trial_id is not None
    until(lambda: releases(run, trial_id), "the attempt's end to be noticed", 40)
    return releases(run, trial_id)[0].cause


def test_one_rank_killed(at: At) -> None:
    site = at(2)
    run, worker = two_ranks(site)
    for pid in pids(worker.job_id, 1):
        os.kill(pid, signal.SIGKILL)
    site.lab.wait(worker.job_id, State.FAILED, seconds=15)
    assert cause(run, worker) == "killed"
    wait_finished(run, 120)
    assert worker.trial_id is not None
    assert starts(run, worker.trial_id)[-1][0] > 0, "continued from a checkpoint"


def test_one_rank_hangs(at: At) -> None:
    """Stopped, it cannot end itself; the watchdog's 5 minutes are 10 s here."""
    site = at(2)
    run, worker = two_ranks(site)
    stopped_at = time.monotonic()
    for pid in pids(worker.job_id, 1):
        os.kill(pid, signal.SIGSTOP)
    assert worker.trial_id is not None
    trial_id = worker.trial_id
    until(lambda: releases(run, trial_id), "the watchdog", 40)
    assert time.monotonic() - stopped_at > 9
    (said,) = releases(run, trial_id)
    assert said.cause == "hang"
    assert "no step for 1" in said.reason
    site.lab.wait(worker.job_id, State.FAILED, seconds=15)
    wait_finished(run, 120)
    assert starts(run, trial_id)[-1][0] > 0, "continued from a checkpoint"


HUNGRY = """
import os
from pathlib import Path
from torch import nn

class Hungry(nn.Linear):
    steps = 0

    def forward(self, x):
        Hungry.steps += self.training
        if os.environ["SLURM_PROCID"] == "1" and Hungry.steps > 20:
            if {always} or not Path("eaten").exists():
                Path("eaten").touch()
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
    (tmp_path / "hungry.py").write_text(HUNGRY.format(always=always))
    text = sweep_text(points=2, steps=60).replace("small_alexnet_bn", "hungry:net")
    (tmp_path / "hungry.toml").write_text(text)
    profile = site.profile("canary = false\nworkers = 1", nodes=2, mem_gib=1.5)
    subprocess.run(
        [sys.executable, "-m", "lars_sweep", "launch", "hungry.toml", "--run-dir", "hungry",
         "--profile", str(profile)],
        cwd=tmp_path, capture_output=True, check=True,
    )  # fmt: skip
    run = open_run(tmp_path / "hungry")
    site.runs.append(run)
    first = wait_running(run, seconds=90)
    # SLURM itself says OUT_OF_MEMORY only if srun did not end the other rank first.
    site.lab.wait(first.job_id, State.OUT_OF_MEMORY, State.FAILED, seconds=30)
    assert cause(run, first) == "out of memory (host)"
    if always:
        until(lambda: finished(run) >= 1, "the first trial to be given up", 120)
        (row,) = (row for row in rows(run) if row["trial_id"] == first.trial_id)
        assert (row["status"], row["attempts"]) == ("failed", 2)
        assert "out of memory" in row["cause"]
        return
    wait_finished(run, 120)
    assert {row["status"] for row in rows(run)} <= {"ok", "diverged"}
