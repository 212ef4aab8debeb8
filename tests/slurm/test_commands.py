"""The commands a person uses on a SLURM run, and sites without accounting."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clusterkit import Own
from packkit import make_pack
from slurmkit import (
    At,
    command,
    finished,
    job_log,
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
from lars_sweep.rundir import breaker
from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.look import look


def test_without_accounting(
    own: Own, at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Preempted without grace, cancelled as a whole, resumed; status all along."""
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.1")
    site = at(own(nodes=1, accounting=False))
    run = site.plan(sweep_text(points=2, steps=100))
    profile = site.profile("canary = false", partition="spot")
    site.submit(run, profile, 1)
    worker = wait_running(run, steps=15)
    assert run_status(run).workers_alive == 1
    site.lab.submit("sleep 2", "--partition=high", "--exclusive")
    until(lambda: len(known(run)) == 2, "it to come back")
    second = wait_running(run)
    assert second.trial_id == worker.trial_id
    until(lambda: finished(run) == 1, "the trial to be finished")
    site.lab.cluster.run("scancel", second.array)
    until(lambda: not site.queue([second.array]), "the array to go")
    look(run, newer_than=time.time())
    status = run_status(run)
    assert (status.finished, status.workers_alive) == (1, 0)
    assert "cancelled" in status.jobs
    assert site.submit(run, profile, 1) is not None
    wait_finished(run)
    assert science(run) == reference(run, tmp_path)
    (row,) = (row for row in rows(run) if row["trial_id"] == worker.trial_id)
    assert row["attempts"] == 2
    assert starts(run, row["trial_id"])[-1][0] > 0, "continued from a checkpoint"


def test_prune_why_and_cancel(at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.1")
    site = at(1)
    run = site.plan(sweep_text(points=4, steps=300))
    profile = site.profile("canary = false")
    site.submit(run, profile, 1)
    first = wait_running(run, steps=80)  # measured once
    assert first.trial_id is not None
    story = why(run, first.trial_id[:8])
    assert story.state == "running"
    assert any(f"job {first.job_id}" in line for line in story.lines)
    assert story.log is not None
    assert first.trial_id in command("logs", run.path, first.trial_id)
    # The running one by what it has measured, a waiting one by its id.
    asked = prune(run, where="epochs_done > 0")
    assert [trial.trial_id for trial in asked] == [first.trial_id]
    until(lambda: finished(run) == 1, "the pruned trial's outcome")
    assert (rows(run)[0]["status"], rows(run)[0]["cause"]) == ("pruned", "user")
    second = wait_running(run, steps=10)
    until(lambda: wait_running(run).trial_id != first.trial_id, "the next trial")
    assert cancel(run) == 1
    status = run_status(run)
    assert (status.workers_alive, status.count("interrupted")) == (0, 1)
    assert status.interrupted_by == {"cancelled": 1}
    assert (status.cancelled, status.stopping) == (True, False), "SLURM need not be asked again"
    until(lambda: not site.queue([second.array]), "the array to go")


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


NOWHERE = '[environment]\npython = "/nowhere/python"'


def unreported_now(run: RunDir) -> int:
    look(run, newer_than=time.time())
    return run_status(run).workers_unreported


def test_jobs_that_die_before_a_worker_reports_in_are_told(at: At) -> None:
    site = at(1)
    run = site.plan(sweep_text(points=2, steps=10))
    site.submit(run, site.profile(f"canary = false\nsuccessors = 0\n{NOWHERE}"), 2)
    until(lambda: unreported_now(run) == 2, "both to be known dead")
    status = run_status(run)
    assert (status.workers_alive, status.workers_starting) == (0, 0)
    reason = "execve(): /nowhere/python: No such file or directory (SLURM: failed"
    assert all(said.startswith(reason) for said in status.unreported_by)
    story = why(run, load_plan(run).queue[0].trial_id)
    assert story.state.startswith(f"waiting: its workers died before reporting in: {reason}")
    site.submit(run, site.profile("canary = false", name="mended"), 2)
    wait_finished(run)
    assert run_status(run).workers_unreported == 0


def test_a_canary_that_dies_before_it_can_sing_is_told(at: At) -> None:
    site = at(1)
    run = site.plan(sweep_text(points=2, steps=10))
    launch = site.submit(run, site.profile(f"successors = 0\n{NOWHERE}"), 1)
    assert launch is not None
    until(lambda: unreported_now(run), "it to be known dead")
    (note,) = run_status(run).notes
    assert note.startswith("the canary died before reporting in: ")
    assert "/nowhere/python" in note
    until(lambda: not site.queue(launch.job_ids), "the worker to be dropped")


def test_cancel_right_after_a_launch(at: At) -> None:
    """What only waits, or has just been started, counts as stopped, and so does the canary."""
    site = at(1)
    run = site.plan(sweep_text(points=4, steps=300))
    launch = site.submit(run, site.profile(), 2)
    assert launch is not None
    assert cancel(run) == 2
    assert launch.canary is not None
    until(lambda: not site.queue([*launch.job_ids, launch.canary]), "the jobs to go")
    assert cancel(run) == 0
    status = run_status(run)
    assert (status.cancelled, status.stopping, status.workers_unreported) == (True, False, 0)


BAD = """
def net(**shape):
    raise RuntimeError("no such width")
"""


def test_the_circuit_breaker(at: At) -> None:
    """A model that fails in every trial stops the run after five attempts, and says so."""
    site = at(1)
    profile = site.profile("canary = false\nworkers = 1\n[retry]\nerror = 0\nstop_after = 5")
    text = sweep_text(points=12, steps=10).replace("small_alexnet_bn", "mine:net")
    run = site.launch(text, profile, BAD)
    until(lambda: breaker.why_broken(run), "the circuit breaker")
    assert finished(run) == 5
    assert "5 attempts in a row ended with: error TrainError" in command("status", run.path)


def test_doctor_probes_two_nodes(at: At, tmp_path: Path) -> None:
    site = at(2)
    profile = site.profile(nodes=2)
    runs, data = tmp_path / "my runs", tmp_path / "its data"
    data.mkdir()
    checks = json.loads(
        command("doctor", "--profile", profile, "--run-dir", runs, "--data-dir", data, "--json")
    )
    found = {check["name"]: check for check in checks}
    assert found["probe"]["found"] == f"2 ranks on {', '.join(sorted(site.lab.nodes))}"
    seen = ("links seen", "fsync", "all-reduce", "clocks", "digits in jobs", "quota")
    assert all(found[name]["ok"] for name in seen)
    assert not list(runs.glob(".probe-*"))


def test_doctor_names_absent_data_and_a_refusal(at: At, tmp_path: Path) -> None:
    site = at(2)

    def problems(profile: Path, *words: str) -> dict[str, str]:
        asked = ("doctor", "--profile", profile, "--run-dir", tmp_path / "runs", "--json", *words)
        done = subprocess.run(
            [sys.executable, "-m", "lars_sweep", *map(str, asked)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        checks = json.loads(done.stdout)
        return {c["name"]: f"{c['found']} | {c['advice']}" for c in checks if not c["ok"]}

    absent = problems(site.profile(nodes=2), "--dataset", "imagenet")
    assert "imagenet" in absent["imagenet in jobs"]
    assert "--data-dir" in absent["imagenet in jobs"]
    refused = problems(site.profile(nodes=3))
    assert "sbatch refused" in refused["probe"]


def test_each_node_stages_one_copy_that_workers_on_one_gpu_share(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One checked copy per node for all its jobs; a damaged one is made anew."""
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.1")
    site, info = at(2), make_pack(tmp_path / "data")
    keys = f'canary = false\nworkers_per_gpu = 2\n[data]\nstage = "{tmp_path}/$SLURMD_NODENAME"'
    profile = load_profile(site.profile(keys, gpus_per_node=1, exclusive=True))

    def staged(name: str) -> tuple[RunDir, set[str], list[str]]:
        """A run, the nodes it was on, and the copies that were made for it."""
        text = sweep_text(points=8, steps=20).replace("digits", "imagenet")
        run = site.plan(text, name=name, content_id=info.content_id)
        assert submit_workers(run, profile, wanted=2, data_dir=tmp_path / "data")
        wait_finished(run)
        until(lambda: all(worker.ended for worker in known(run)), "the workers to end")
        logs = "".join(job_log(run, job) for job in {worker.job_id for worker in known(run)})
        copies = re.findall(rf"copied \S+ to {tmp_path}/(\S+)/lars-sweep-", logs)
        return run, {worker.nodes for worker in known(run)}, copies

    run, nodes, copies = staged("first")
    assert len(nodes) == 2
    assert sorted(copies) == sorted(nodes)
    both = {worker.worker_id.split("-")[1]: worker.trials_done for worker in known(run)}
    assert both.keys() == {"r0", "r1"}
    assert min(both.values()) > 0
    assert science(run) == reference(run, tmp_path)
    shards = list(tmp_path.glob("*/lars-sweep-*/shard-00000.jpegs"))
    assert {shard.parts[-3] for shard in shards} == nodes
    assert staged("second")[2] == []
    whole = shards[0].read_bytes()
    for shard in shards:
        shard.write_bytes(whole[:-1])
    _, nodes, copies = staged("third")
    assert sorted(copies) == sorted(nodes)
    assert {s.parts[-3] for s in shards if s.read_bytes() == whole} == nodes
