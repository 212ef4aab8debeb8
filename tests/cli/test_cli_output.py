"""What commands print: data on stdout, character by character; talk on stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pandas as pd
import pytest
from clikit import Here, lars_sweep
from runkit import GRID, CurveTrainer, StopsAt, finish, make_run, sampled, worker_of, write_sweep

from lars_sweep.cluster import layout as layout_module
from lars_sweep.cluster.loading import reference
from lars_sweep.dispatch.status import run_status
from lars_sweep.rundir.launches import Launch, record_intent
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import load_plan


@pytest.fixture
def half_done(tmp_path: Path) -> RunDir:
    """Eight of twelve trials are finished, then the run was stopped."""
    run = make_run(tmp_path)
    worker_of(run, StopsAt(run, 9)).work()
    return run


def test_plan(cli: Here, tmp_path: Path) -> None:
    done = cli("plan", write_sweep(tmp_path))
    assert done.status == 0
    table, total = done.out.rsplit("peak disk ", 1)
    assert table == (
        "stratum                       points  trials  steps/trial  steps  images\n"
        "small_alexnet_bn-sgd-B64-E2        3       6           40    240  15,360\n"
        "small_alexnet_bn-sgd-B128-E2       3       6           20    120  15,360\n"
        "total: 2 strata, 6 points, 12 trials, 360 steps, 30,720 images, "
    )
    assert total.endswith(" MiB (one worker)\n")
    assert done.err.splitlines()[:2] == [
        "warning: 2 seed(s) per point; under 3 no spread can be told from noise",
        "warning: small_alexnet_bn-sgd-B64-E2: S = 40 < 100 steps (protocol 2)",
    ]


def test_status_does_not_wait_for_a_silent_controller(
    half_done: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known comes at once; squeue gives up only after half a minute, here six seconds."""
    launch = Launch(number=1, executor="slurm", profile="p", workers=1, job_ids=("100",))
    assert record_intent(half_done, launch)
    gave_up = tmp_path / "gave-up"
    (tmp_path / "squeue").write_text(f"#!/bin/sh\nsleep 6\ntouch {gave_up}\nexit 1\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    command = [sys.executable, "-m", "lars_sweep", "status", str(half_done.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asked:
        assert asked.stdout is not None
        known = ""
        while "SLURM has not answered for 2 s" not in known:
            known += asked.stdout.readline() or pytest.fail(known)
        assert not gave_up.exists()
        assert "8/12 done" in known
        assert asked.communicate() == ("", None), "nothing else became known"
    assert gave_up.exists()


def test_plan_as_json(cli: Here, tmp_path: Path) -> None:
    content = json.loads(cli("plan", write_sweep(tmp_path), "--json").out)
    assert content["strata"][1] == {
        "stratum": "small_alexnet_bn-sgd-B128-E2", "points": 3, "trials": 6,
        "steps_per_trial": [20, 20], "steps": 120, "images": 15360, "noise_images": 0,
    }  # fmt: skip
    totals = {name: content[name] for name in ("points", "trials", "steps", "images")}
    assert totals == {"points": 6, "trials": 12, "steps": 360, "images": 30720}
    assert content["device_hours"] is None
    assert content["peak_disk_bytes"] > 0
    assert len(content["warnings"]) == 5


def test_plan_with_a_budget_prints_device_hours(cli: Here, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, GRID + "[budget]\nimages_per_s = 10\n")
    assert cli("plan", sweep).out.endswith("device-hours: 0.85 at the budget's images_per_s\n")


def test_plan_counts_the_noise_scale(cli: Here, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, GRID + "[noise_scale]\n[budget]\nimages_per_s = 10\n")
    assert cli("plan", sweep).out.splitlines()[-2:] == [
        "noise scale: 92,160 images more, 300 % of those trained on",
        "device-hours: 3.41 at the budget's images_per_s",
    ]
    content = json.loads(cli("plan", sweep, "--json").out)
    assert content["noise_images"] == 12 * 4 * 20 * 96
    assert content["strata"][0]["noise_images"] == 6 * 4 * 20 * 64


def test_plan_writes_nothing(cli: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cli("plan", write_sweep(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"]


def test_set_overrides_the_file(cli: Here, tmp_path: Path) -> None:
    done = cli("plan", write_sweep(tmp_path), "--set", "seeds.count=1", "--set", "space.epochs=4")
    assert "total: 2 strata, 6 points, 6 trials, 357 steps" in done.out


def test_a_shipped_sweep_is_known_by_its_name(
    cli: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("plan", "quickstart").status == 0
    done = cli("plan", "nosuch")
    assert done.status == 2
    assert done.err.startswith("error: no sweep file 'nosuch'; shipped sweeps: ")
    assert "quickstart.toml" in done.err


def test_status(cli: Here, half_done: RunDir) -> None:
    assert cli("status", half_done.path).out == (
        "stratum                       trials  ok  interr  wait  best val %\n"
        "small_alexnet_bn-sgd-B64-E2        6   6       0     0       60.00\n"
        "small_alexnet_bn-sgd-B128-E2       6   2       1     3       60.00\n"
        "8/12 done, 0 running, 0 images/s, 0.00 device-h, ETA -\n"
        "workers: 0 alive, 0 lost; cancelled\n"
        "interrupted: 1 cancelled\n"
    )


def test_status_of_a_run_that_nobody_has_begun(cli: Here, run: RunDir) -> None:
    lines = cli("status", run.path).out.splitlines()
    assert lines[1].split() == [
        "small_alexnet_bn-sgd-B64-E2", "6", "0", "6", "-",
    ]  # fmt: skip
    assert lines[-1] == "workers: 0 alive, 0 lost"


def test_status_as_json(cli: Here, half_done: RunDir) -> None:
    content = json.loads(cli("status", half_done.path, "--json").out)
    assert content["run"] == str(half_done.path)
    assert (content["trials"], content["finished"]) == (12, 8)
    assert (content["stopping"], content["cancelled"]) == (False, True)
    assert content["strata"][1]["interrupted"] == 1
    assert content["device_h_left"] > 0
    assert content["eta_s"] is None


def test_collect(cli: Here, half_done: RunDir, tmp_path: Path) -> None:
    out = tmp_path / "o.parquet"
    done = cli("collect", half_done.path, "--out", out)
    assert (done.status, done.out, done.err) == (0, "", f"8 rows in {out}\n")
    frame = pd.read_parquet(out)
    assert len(frame) == frame.trial_id.nunique() == 8
    for table, rows in (("curves", 16), ("layers", 16)):
        cli("collect", half_done.path, "--out", out, "--table", table)
        assert len(pd.read_parquet(out)) == rows
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.parquet", "run", "sweep.toml"]


def test_export(cli: Here, half_done: RunDir, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    done = cli("export", half_done.path, "--to-optuna", url)
    name = f"small@{half_done.run_id}/small_alexnet_bn-sgd-B"
    assert done.out == f"{name}64-E2\t6\n{name}128-E2\t2\n"
    assert cli("export", half_done.path, "--to-optuna", url).out == (
        f"{name}64-E2\t0\n{name}128-E2\t0\n"
    )
    storage = optuna.storages.RDBStorage(url)
    assert len(optuna.load_study(study_name=f"{name}128-E2", storage=storage).trials) == 2
    storage.remove_session()
    storage.engine.dispose()


def test_status_counts_every_ending(cli: Here, tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("random", 4))
    ids = [queued.trial_id for queued in load_plan(run).queue]

    def status(trial: object) -> str:
        trial_id = trial.trial_id  # type: ignore[attr-defined]
        if trial_id == ids[0]:
            raise RuntimeError
        return "diverged" if trial_id == ids[1] else "ok"

    finish(run, CurveTrainer(status=status))
    head, line, *_ = (line.split() for line in cli("status", run.path).out.splitlines())
    assert head[1:] == ["trials", "ok", "div", "failed", "best", "val", "%"]
    assert line[1:] == ["4", "2", "1", "1", "60.00"]


def test_a_dry_run_says_how_many_workers_fit(
    cli: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_module, "local_gpus", lambda: ("0", "3"))
    monkeypatch.chdir(tmp_path)
    sweep = write_sweep(tmp_path)
    said = "nothing was submitted; without --dry-run it would be"
    assert cli("launch", sweep, "--dry-run").err == f"{said} 2 workers on GPUs 0, 3\n"
    one = cli("launch", sweep, "--dry-run", "--workers", "1")
    assert one.err == f"{said} 1 worker on GPU 0\n"
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.toml"]


def test_cancelling_a_run_without_workers(cli: Here, run: RunDir) -> None:
    done = cli("cancel", run.path)
    assert (done.status, done.out) == (0, "")
    assert done.err == f"no worker was at it; go on with `lars-sweep resume {run.path}`\n"


def test_cancelling_a_finished_run(cli: Here, run: RunDir) -> None:
    finish(run)
    said = f"no worker was at it; all trials are finished: `lars-sweep report {run.path}`\n"
    assert cli("cancel", run.path).err == said
    assert cli("status", run.path).out.splitlines()[-1] == "workers: 0 alive, 0 lost"


def test_resuming_a_finished_run_starts_nothing(cli: Here, run: RunDir) -> None:
    finish(run)
    done = cli("resume", run.path)
    assert done.err == f"all 12 trials are finished: `lars-sweep report {run.path}`\n"
    assert not list(run.launches.iterdir())


def test_resuming_goes_on_with_the_profile_of_the_last_launch(
    run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.toml").write_text('executor = "local"\nthreads = 1\n')
    monkeypatch.chdir(tmp_path)
    record_intent(
        run,
        Launch(
            number=1,
            executor="local",
            profile=reference("mine.toml"),
            workers=1,
            job_ids=("0",),
            through=True,
        ),
    )
    monkeypatch.chdir("/")
    done = lars_sweep("resume", run.path, "--workers", "1")
    assert "started 1 worker (mine)" in done.stderr
    until_finished(run)


def test_resume_tries_failed_trials_again_if_asked_to(cli: Here, tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("random", 4))

    ids = [queued.trial_id for queued in load_plan(run).queue[:2]]

    def fail(trial: TrialSpec, number: int) -> None:
        if trial.trial_id in ids:
            raise ValueError("planted")

    finish(run, CurveTrainer(at_evaluation=fail))
    assert "failed: 2 ValueError: planted" in cli("status", run.path).out
    alone = cli("resume", run.path, "--cause", "planted")
    assert (alone.status, alone.err) == (2, "error: --cause: allowed: only together with "
                                            "--retry-failed\n")  # fmt: skip
    other = cli("resume", run.path, "--retry-failed", "--cause", "disk")
    assert other.status == 2
    assert other.err.endswith("there are: 'ValueError: planted' (2)\n")
    done = lars_sweep("resume", run.path, "--retry-failed", "--workers", "1")
    assert done.stderr.splitlines()[:2] == [
        "2 failed trials to be tried again", "started 1 worker (local)",
    ]  # fmt: skip
    until_finished(run)
    assert run_status(run).count("ok") == 4


def until_finished(run: RunDir) -> None:
    """Wait for the workers that a command left behind."""
    deadline = time.monotonic() + 120
    while (status := run_status(run)).finished < status.trials or status.workers_alive:
        assert time.monotonic() < deadline, "the workers did not finish"
        time.sleep(0.1)
