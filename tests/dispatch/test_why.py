"""`why` and `logs`: the log that tells of a trial, what of it, and what keeps a trial waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lars_sweep.cluster.profile import Profile
from lars_sweep.dispatch import submit
from lars_sweep.dispatch.follow import job_log
from lars_sweep.dispatch.notes import OTHER_TRIALS, notes
from lars_sweep.dispatch.submit import submit_workers
from lars_sweep.dispatch.why import last_lines, why
from lars_sweep.errors import RunError
from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.canary import verdict
from lars_sweep.worker.look import View

CLOCK = "2026-01-01 10:00:00"


def taken(trial_id: str, attempt: int, *said: str) -> str:
    """What a worker logs of one attempt."""
    return "\n".join([f"{CLOCK} INFO trial {trial_id} (net-B64), attempt {attempt}", *said, ""])


def write_log(run: RunDir, job_id: str, text: str, at: float) -> Path:
    path = run.logs / f"{job_id}_0_log.out"
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def test_a_trial_without_claims_is_found_in_the_newest_log(run: RunDir) -> None:
    """By time: by name job 9 would come after job 10."""
    trial_id = load_plan(run).queue[0].trial_id
    with pytest.raises(RunError, match=f"no log in .* tells of trial {trial_id}"):
        job_log(run, trial_id)
    assert why(run, trial_id).log is None
    write_log(run, "9_0", taken(trial_id, 1), at=1.0)
    newest = write_log(run, "10_0", taken(trial_id, 2), at=2.0)
    write_log(run, "11_0", taken("0" * 16, 1), at=3.0)
    assert job_log(run, trial_id) == newest
    assert why(run, trial_id).log == newest


def test_the_last_lines_are_those_about_the_trial(run: RunDir) -> None:
    text = (
        taken("a1", 1, f"{CLOCK} ERROR trial a1 failed", "ValueError: planted")
        + taken("b2", 1, f"{CLOCK} ERROR trial b2 failed", "KeyError: other")
        + "worker ended\n"
    )
    log = write_log(run, "9_0", text, at=1.0)
    assert last_lines(log, "a1", 2) == [f"{CLOCK} ERROR trial a1 failed", "ValueError: planted"]
    assert last_lines(log, "b2", 2) == ["KeyError: other", "worker ended"]
    assert last_lines(log, "c3", 1) == ["worker ended"], "of a job that took no trial: all"


def silent_canary(run: RunDir) -> None:
    song = {"failed": "ValueError: planted", "job_id": "7", "at": 1.0}
    publish.replace(run.path / "canary.json", publish.to_json_bytes(song))


def test_a_failed_canary_keeps_trials_waiting(run: RunDir) -> None:
    silent_canary(run)
    story = why(run, load_plan(run).queue[0].trial_id)
    assert story.state == "waiting: the canary failed: ValueError: planted"
    assert story.advice == f"mend it, then `lars-sweep resume`; {OTHER_TRIALS}"


def test_a_launch_without_a_canary_forgets_the_one_that_failed(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent_canary(run)
    assert list(notes(run, View())) == [
        "the canary failed, no worker was released: ValueError: planted; mend it, then "
        f"`lars-sweep resume {run.path}`; {OTHER_TRIALS}"
    ]
    asked = []
    monkeypatch.setattr(submit, "submit_arrays", lambda *_, **how: asked.append(how["canary"]))
    submit_workers(run, Profile(name="site", executor="slurm", canary=False), wanted=1)
    assert (asked, verdict(run), list(notes(run, View()))) == ([False], None, [])
