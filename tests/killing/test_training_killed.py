"""Real training, killed in the middle of an epoch: it ends bit for bit as if undisturbed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from killkit import science, start
from runkit import finish, make_run

from lars_sweep.data import describe_dataset
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir.layout import RunDir, open_run
from lars_sweep.spec.strata import DataFacts
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.order import WorkOrder
from lars_sweep.worker.trainers import make_trainer

TWO_TRIALS = ["space.base_lr=[0.05, 0.2]", "space.global_batch=128", "seeds.count=1"]


def train(path: Path, failpoint: str, checkpoint_every_s: float) -> None:
    """Be a worker that trains digits, until the failpoint is hit if there is one."""
    os.environ["LARS_SWEEP_FAILPOINT"] = failpoint
    order = WorkOrder(run=path, executor="local", threads=1, checkpoint_every_s=checkpoint_every_s)
    run = open_run(path)
    wanted = load_plan(run).spec.noise_scale
    finish(run, make_trainer("torch", order, wanted.plan if wanted else None))


def digits_run(directory: Path, *changes: str) -> RunDir:
    info = describe_dataset("digits")
    facts = DataFacts(content_id=info.content_id, train_samples=info.train_samples)
    return make_run(directory, overrides=[*TWO_TRIALS, *changes], facts=facts)


def killed_and_resumed(
    directory: Path, failpoint: str, checkpoint_every_s: float, *changes: str
) -> RunDir:
    """A run killed at the failpoint and resumed: its science is that of an undisturbed one."""
    undisturbed, killed = (digits_run(directory / name, *changes) for name in "ab")
    runs = [start(train, undisturbed.path, "", 1e9)]
    runs.append(start(train, killed.path, failpoint, checkpoint_every_s))
    for process in runs:
        process.join()
    assert [process.exitcode for process in runs] == [0, -signal.SIGKILL]
    again = start(train, killed.path, "", checkpoint_every_s)
    again.join()
    assert again.exitcode == 0
    assert science(killed) == science(undisturbed)
    return killed


@pytest.mark.parametrize("checkpoint_every_s", [0.0, 1e9], ids=["checkpoints", "none"])
def test_killed_in_mid_epoch_and_resumed(tmp_path: Path, checkpoint_every_s: float) -> None:
    killed = killed_and_resumed(tmp_path, "mid-epoch:31", checkpoint_every_s)
    rows = load_table(killed, "outcomes").to_pylist()
    assert sorted(row["attempts"] for row in rows) == [1, 2]
    assert {row["status"] for row in rows} == {"ok"}


@pytest.mark.parametrize("checkpoint_every_s", [0.0, 1e9], ids=["checkpoints", "none"])
def test_killed_between_noise_measurements_and_resumed(
    tmp_path: Path, checkpoint_every_s: float
) -> None:
    """Ten steps, then five measurements: the third is never made, the next attempt makes it."""
    noise = ("noise_scale.evaluations=2", "noise_scale.measurements=5")
    killed = killed_and_resumed(tmp_path, "mid-epoch:13", checkpoint_every_s, *noise)
    rows = load_table(killed, "noise").to_pylist()
    assert len(rows) == len({(r["trial_id"], r["step"], r["measurement"]) for r in rows}) == 20
