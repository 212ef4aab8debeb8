"""The commands a person uses on a SLURM run, and sites without accounting."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clusterkit import Lab
from devcluster.cluster import Cluster
from slurmkit import (
    Site,
    finished,
    known,
    reference,
    rows,
    science,
    starts,
    sweep_text,
    until,
    wait_finished,
    wait_running,
)

from lars_sweep.cluster.loading import load_profile
from lars_sweep.dispatch.notes import job_counts
from lars_sweep.dispatch.prune import prune
from lars_sweep.dispatch.status import run_status
from lars_sweep.dispatch.stop import cancel
from lars_sweep.dispatch.submit import submit_workers
from lars_sweep.dispatch.why import why
from lars_sweep.rundir import requests
from lars_sweep.worker.look import look

pytestmark = pytest.mark.slurm
At = Callable[[int], Site]


def command(*words: str | Path) -> str:
    """What a command of ours prints."""
    done = subprocess.run(
        [sys.executable, "-m", "lars_sweep", *map(str, words)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def unaccounted(plain: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site where only squeue answers."""
    monkeypatch.setenv("SLURM_CONF", plain.environ["SLURM_CONF"])
    monkeypatch.setenv("LARS_SWEEP_PACE", "30")
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.1")
    site = Site(Lab(plain, plain.settings.node_names, tmp_path), tmp_path)
    yield site
    site.close()


def test_without_accounting(unaccounted: Site, tmp_path: Path) -> None:
    """Preempted without grace, cancelled as a whole, resumed; status all along."""
    site = unaccounted
    run = site.plan(sweep_text(points=2, steps=60))
    profile = site.profile("canary = false", partition="spot")
    site.submit(run, profile, 1)
    worker = wait_running(run, steps=15)
    assert run_status(run).workers_alive == 1
    job = site.lab.submit("sleep 2", "--partition=high", "--exclusive", "--nodes=2")
    site.lab.output(job, "", 30)
    until(lambda: starts(run, str(worker.trial_id))[-1:] or len(rows(run)), "it to go on", 60)
    second = wait_running(run, steps=1)
    site.lab.cluster.run("scancel", second.array)
    until(lambda: not site.queue([second.array]), "the array to go")
    done = finished(run)
    assert run_status(run).count("interrupted") + done >= 1
    if done < 2:
        assert site.submit(run, profile, 1) is not None
    wait_finished(run)
    assert science(run) == reference(run, tmp_path)
    assert max(row["attempts"] for row in rows(run)) >= 2


def test_prune_why_and_cancel(at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.1")
    site = at(1)
    run = site.plan(sweep_text(points=4, steps=100))
    profile = site.profile("canary = false")
    site.submit(run, profile, 1)
    first = wait_running(run, steps=30)
    assert first.trial_id is not None
    story = why(run, first.trial_id[:8])
    assert story.state == "running"
    assert any(f"job {first.job_id}" in line for line in story.lines)
    assert story.log is not None
    assert first.trial_id in command("logs", run.path, first.trial_id)
    # The running one by what it has measured, a waiting one by its id.
    asked = prune(run, where="epochs_done > 0")
    assert [trial.trial_id for trial in asked] == [first.trial_id]
    until(lambda: finished(run) == 1, "the pruned trial's outcome", 15)
    assert (rows(run)[0]["status"], rows(run)[0]["cause"]) == ("pruned", "user")
    second = wait_running(run, steps=10)
    until(lambda: wait_running(run).trial_id != first.trial_id, "the next trial")
    assert cancel(run) == 1
    status = run_status(run)
    assert (status.workers_alive, status.count("interrupted")) == (0, 1)
    assert status.interrupted_by == {"cancelled": 1}
    assert site.queue([second.array]) == ""
    assert json.loads(command("status", run.path, "--json"))["stopping"]


def test_jobs_that_wait_say_why(at: At) -> None:
    site = at(1)
    run = site.plan(sweep_text(points=2, steps=10))
    node = site.lab.nodes[0]
    site.lab.cluster.set_node(node, "drain")
    try:
        site.submit(run, site.profile("canary = false"), 1)
        until(lambda: job_counts(look(run, newer_than=9e99)), "the scheduler's reason")
        (job,) = job_counts(look(run, newer_than=9e99))
        assert job.startswith("pending (")
    finally:
        site.lab.cluster.set_node(node, "resume")
    wait_finished(run)


def test_the_circuit_breaker(at: At, tmp_path: Path) -> None:
    """A model that fails in every trial stops the run after five attempts, and says so."""
    site = at(1)
    (tmp_path / "bad.py").write_text("def net(**shape):\n    raise RuntimeError('no such width')\n")
    (tmp_path / "bad.toml").write_text(
        sweep_text(points=12, steps=10).replace("small_alexnet_bn", "bad:net")
    )
    profile = site.profile("canary = false\nworkers = 1\n[retry]\nerror = 0\nstop_after = 5")
    subprocess.run(
        [sys.executable, "-m", "lars_sweep", "launch", "bad.toml", "--run-dir", "bad",
         "--profile", str(profile)],
        cwd=tmp_path, capture_output=True, check=True,
    )  # fmt: skip
    from lars_sweep.rundir.layout import open_run

    run = open_run(tmp_path / "bad")
    site.runs.append(run)
    until(lambda: requests.breaker(run), "the circuit breaker")
    assert finished(run) == 5
    assert "5 attempts in a row ended with: error TrainError" in command("status", run.path)


def test_doctor_probes_two_nodes(at: At, tmp_path: Path) -> None:
    site = at(2)
    profile = site.profile(nodes=2)
    checks = json.loads(
        command("doctor", "--profile", profile, "--run-dir", tmp_path / "runs", "--json")
    )
    found = {check["name"]: check for check in checks}
    assert found["probe"]["found"] == f"2 ranks on {', '.join(sorted(site.lab.nodes))}"
    assert all(found[name]["ok"] for name in ("links seen", "all-reduce", "clocks", "data in jobs"))
    assert not list((tmp_path / "runs").glob(".probe-*"))


def test_two_workers_share_a_gpu_and_data_are_staged(at: At, tmp_path: Path) -> None:
    site = at(1)
    original = tmp_path / "original"
    original.mkdir()
    (original / "images").write_text("many")
    run = site.plan(sweep_text(points=8, steps=20))
    keys = f'canary = false\nworkers_per_gpu = 2\n[data]\nstage = "{tmp_path}/$SLURM_JOB_ID"'
    profile = site.profile(keys, gpus_per_node=1)
    launch = submit_workers(run, load_profile(profile), wanted=1, data_dir=original)
    assert launch is not None
    wait_finished(run)
    assert science(run) == reference(run, tmp_path)
    both = {worker.worker_id.split("-")[1]: worker.trials_done for worker in known(run)}
    assert both.keys() == {"r0", "r1"}
    assert min(both.values()) > 0
    (copy,) = tmp_path.glob("*/lars-sweep-*/images")
    assert copy.read_text() == "many"
