"""Jobs that SLURM takes away: nothing is lost, done twice, or computed otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from slurmkit import (
    Site,
    reference,
    releases,
    rows,
    science,
    starts,
    sweep_text,
    until,
    wait_finished,
    wait_running,
)

from lars_sweep.rundir.layout import RunDir

pytestmark = pytest.mark.slurm
At = Callable[[int], Site]


@pytest.fixture(autouse=True)
def _fast_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.1")


def one_worker(site: Site, text: str = "", **job: object) -> RunDir:
    """Two trials of 80 steps, 8 s each, on one worker that is in the middle of the first."""
    run = site.plan(sweep_text(points=2, steps=80))
    assert site.submit(run, site.profile(f"canary = false\n{text}", **job), 1)
    return run


def holds(run: RunDir, folder: Path, first: str) -> None:
    """The first trial took more than one attempt, none from zero, and ended as undisturbed."""
    wait_finished(run)
    assert science(run) == reference(run, folder)
    (row,) = (row for row in rows(run) if row["trial_id"] == first)
    assert row["attempts"] >= 2
    last = starts(run, first)[-1]
    assert last[0] > 0, "continued from a checkpoint"
    assert last[1] == 80


@pytest.mark.parametrize("partition", ["low", "spot", "spotkill"])
def test_preempted(at: At, tmp_path: Path, partition: str) -> None:
    """With 30 s of grace, without grace, and cancelled for good."""
    site = at(1)
    run = one_worker(site, partition=partition, exclusive=True)
    first = wait_running(run, steps=15).trial_id
    assert first is not None
    high = site.lab.submit("sleep 2", "--partition=high", "--exclusive")
    until(lambda: site.lab.output(high) == "" or True, "it to start")
    holds(run, tmp_path, first)
    said = [release.cause for release in releases(run, first)]
    assert all(cause in ("preempted", "requeued") for cause in said)


def test_requeued_by_hand(at: At, tmp_path: Path) -> None:
    site = at(1)
    run = one_worker(site)
    worker = wait_running(run, steps=15)
    assert worker.trial_id is not None
    site.lab.cluster.run("scontrol", "requeue", worker.job_id)
    holds(run, tmp_path, worker.trial_id)
