"""Launches: twice at once, cut off on the way, over the site's limits, and with a broken model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clusterkit import Own, stretched
from runkit import in_parallel
from slurmkit import (
    At,
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
)

from lars_sweep.cluster.loading import load_profile
from lars_sweep.dispatch.status import run_status
from lars_sweep.dispatch.submit import submit_workers
from lars_sweep.dispatch.why import why
from lars_sweep.errors import LaunchError
from lars_sweep.rundir.launches import read_launches
from lars_sweep.rundir.layout import open_run
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.canary import verdict

NO_CANARY = "canary = false"


def _submit(path: Path, profile: Path, wanted: int) -> int:
    launched = submit_workers(open_run(path), load_profile(profile), wanted=wanted)
    return launched.workers if launched else 0


def arrays(site: Site, run_id: str) -> set[str]:
    """Arrays of a run that SLURM has ever heard of."""
    names = site.lab.cluster.run("squeue", "-h", "--states=all", "--format=%F|%j").split()
    return {row.split("|")[0] for row in names if f"lars-{run_id}-" in row}


def test_launches_at_once_and_again_while_running(at: At, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "0.2")
    site = at(1)
    run, profile = site.plan(sweep_text(points=4, steps=50)), site.profile(NO_CANARY)
    assert sum(in_parallel(_submit, [(run.path, profile, 2)] * 3)) == 2
    until(lambda: len(known(run)) == 2, "both workers")
    assert finished(run) < 4
    assert _submit(run.path, profile, 2) == 0
    wait_finished(run)
    assert len(arrays(site, run.run_id)) == 2
    assert {row["attempts"] for row in rows(run)} == {1}


@pytest.mark.parametrize("failpoint", ["submit-recorded", "submitted", "submitted:3"])
def test_a_launch_killed_on_its_way_is_found_again(at: At, tmp_path: Path, failpoint: str) -> None:
    """Before the first sbatch; after it, before its record; after the second worker's."""
    site = at(1)
    run, profile = site.plan(sweep_text(points=6, steps=120)), site.profile(NO_CANARY)
    code = (
        "import sys; from pathlib import Path; from test_launching import _submit;"
        "_submit(Path(sys.argv[1]), Path(sys.argv[2]), 2)"
    )
    environ = {
        **os.environ,
        "LARS_SWEEP_FAILPOINT": failpoint,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "-c", code, str(run.path), str(profile)]
    assert subprocess.run(command, env=environ, check=False).returncode == -signal.SIGKILL
    _submit(run.path, profile, 2)
    wait_finished(run)
    recorded = [array for launch in read_launches(run) for array in launch.job_ids]
    assert len(recorded) == 2
    assert arrays(site, run.run_id) == set(recorded), "none is unknown to us"


def test_more_workers_than_an_array_may_have_tasks(
    own: Own, at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MaxArraySize 10, 35 workers, no accounting; each holds its trial until all run."""
    monkeypatch.setenv("LARS_SWEEP_STEP_S", "60")
    lab = own(nodes=2, cpus=20, memory_mib=20_000, accounting=False, max_array_size=10)
    site = at(lab)
    run = site.plan(sweep_text(points=35, steps=10))
    launch = site.submit(run, site.profile(f"{NO_CANARY}\nsuccessors = 20", mem_gib=0.4), 35)
    assert launch is not None
    assert len(launch.job_ids) == 35
    until(lambda: len(known(run)) == 35, "all to run")
    assert {worker.array for worker in known(run)} == set(launch.job_ids)
    assert {worker.job_id.partition("_")[2] for worker in known(run)} == {"0"}
    assert len(lab.cluster.run("squeue", "-h", "--array").splitlines()) == 350, "10 tasks each"


BROKEN = """
import nothing_of_this_name

def tiny(classes, **size):
    return None
"""


def test_an_import_error_in_the_users_model_stops_the_launch(at: At) -> None:
    """At once where it can be seen; where jobs are set up otherwise, by the canary."""
    site, began = at(1), time.monotonic()
    text = sweep_text(points=4, steps=10).replace("small_alexnet_bn", "mine:tiny")
    with pytest.raises(AssertionError, match="No module named 'nothing_of_this_name'"):
        site.launch(text, site.profile(), BROKEN)
    assert not (site.folder / "run").exists(), "nothing was made, nothing submitted"
    run = site.launch(text, site.profile('[environment]\nsetup = ["true"]'), BROKEN)
    (launch,) = read_launches(run)
    until(lambda: verdict(run), "the canary's word")
    until(lambda: not site.queue(launch.job_ids), "the workers to be dropped")
    assert time.monotonic() - began < stretched(60)
    assert "No module named 'nothing_of_this_name'" in str(verdict(run))
    assert known(run) == []
    assert finished(run) == 0
    assert not list(run.logs.glob(f"{launch.job_ids[0]}_*log.out"))


def test_a_good_canary_releases_the_workers_and_computes_nothing(at: At, tmp_path: Path) -> None:
    site = at(1)
    run = site.plan(sweep_text(points=2, steps=10))
    site.submit(run, site.profile(), 1)
    wait_finished(run)
    assert verdict(run) == ""
    assert science(run) == reference(run, tmp_path)
    assert all(starts(run, row["trial_id"]) == [(0, 10)] for row in rows(run))
    assert not list(run.path.rglob("*.pkl")), "nothing depends on submitit's pickles"


def test_a_limit_on_submitted_jobs_shortens_the_line_of_successors(at: At, tmp_path: Path) -> None:
    """The QOS takes ten jobs; two workers with nine successors each would be twenty."""
    site = at(1)
    run = site.plan(sweep_text(points=4, steps=20))
    launch = site.submit(run, site.profile(NO_CANARY, qos="few"), 2)
    assert launch is not None
    assert len(launch.job_ids) == 2
    wait_finished(run)
    assert science(run) == reference(run, tmp_path)


def test_a_refusal_is_told_until_a_submission_succeeds(at: At) -> None:
    site = at(1)
    run = site.plan(sweep_text(points=2, steps=10))
    with pytest.raises(LaunchError) as refused:
        site.submit(run, site.profile(NO_CANARY, partition="nowhere"), 1)
    said = str(refused.value)
    assert said.startswith("sbatch refused: ")
    assert "nowhere" in said or "partition" in said
    assert run_status(run).notes == (f"{said}; mend it, then `lars-sweep resume {run.path}`",)
    assert why(run, load_plan(run).queue[0].trial_id).state == f"waiting: {said}"
    site.submit(run, site.profile(NO_CANARY), 1)
    assert run_status(run).notes == ()
    wait_finished(run)


def test_a_launch_from_inside_a_job_inherits_nothing(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = at(1)
    run, profile = site.plan(sweep_text(points=2, steps=10)), site.profile(NO_CANARY)
    for name, value in (
        ("SLURM_JOB_ID", "1"), ("SLURM_NTASKS", "7"), ("SLURM_PROCID", "3"),
        ("SLURM_CPUS_PER_TASK", "9"), ("SBATCH_PARTITION", "nowhere"), ("RANK", "1"),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    assert site.submit(run, profile, 1) is not None
    for name in ("SLURM_JOB_ID", "SLURM_PROCID", "SBATCH_PARTITION"):
        monkeypatch.delenv(name)
    wait_finished(run)
    assert {row["attempts"] for row in rows(run)} == {1}
