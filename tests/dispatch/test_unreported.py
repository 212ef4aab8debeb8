"""Workers that die before they report in: status, why and --wait say so, with what is known."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from runkit import finish, in_parallel, until

from lars_sweep.cli.progress import details_of, watch
from lars_sweep.cluster.jobs import JobState, State
from lars_sweep.cluster.loading import load_profile
from lars_sweep.dispatch.status import run_status
from lars_sweep.dispatch.submit import submit_workers
from lars_sweep.dispatch.unreported import last_words, unreported
from lars_sweep.dispatch.why import why
from lars_sweep.errors import RunError
from lars_sweep.rundir import publish
from lars_sweep.rundir.launches import Launch, record_intent
from lars_sweep.rundir.layout import RunDir, open_run
from lars_sweep.rundir.workers import beat, this_worker
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.look import Seen, View

TRACEBACK = """submitit ERROR (2026-01-01 10:00:00,000) - Submitted job triggered an exception
Traceback (most recent call last):
  File "worker.py", line 1, in work
lars_sweep.errors.DataError: data set mine: no file images.npy in /data: restore it
and one more line
"""


def _submit(path: Path, wanted: int) -> None:
    submit_workers(open_run(path), load_profile("local"), wanted=wanted)


def broken(run: RunDir) -> RunDir:
    """The run with a plan that names no trainer: its workers fail before they report in."""
    path = run.path / "plan.json"
    path.write_bytes(publish.to_json_bytes({**run.content, "trainer": "lost"}))
    return open_run(run.path)


def test_local_workers_that_die_at_once_are_told_with_their_last_words(run: RunDir) -> None:
    run = broken(run)
    in_parallel(_submit, [(run.path, 2)])
    until(lambda: run_status(run).workers_unreported == 2)
    status = run_status(run)
    said = "RunError: no trainer called 'lost'; allowed: torch, analytic, noop, paced"
    assert status.unreported_by == {said: 2}
    assert (status.workers_alive, status.workers_starting, status.workers_lost) == (0, 0, 0)
    assert status.to_json()["workers_unreported"] == 2
    workers, note = details_of(status)
    assert workers == "workers: 0 alive, 0 lost, 2 died before reporting in"
    assert note.startswith(f"2 workers died before reporting in: {said}: see {run.logs}/")
    assert note.endswith(f"_0_log.out, mend it, then `lars-sweep resume {run.path}`")
    story = why(run, load_plan(run).queue[0].trial_id)
    assert story.state == f"waiting: its workers died before reporting in: {said}"
    assert story.log is not None
    assert story.advice == "mend it, then `lars-sweep resume`"
    with pytest.raises(RunError, match=r"12 trials not finished: workers died before .*'lost'"):
        watch(run)


def test_workers_that_reported_in_are_lost_and_not_unreported(run: RunDir) -> None:
    dead = replace(this_worker("w", job_id="4711", executor="local"), pid_started=1)
    beat(run.workers, dead)
    record_intent(run, launch(executor="local", job_ids=("4711",)))
    status = run_status(run)
    assert (status.workers_lost, status.workers_unreported) == (1, 0)


def test_nothing_is_known_of_processes_on_another_host(run: RunDir) -> None:
    record_intent(run, launch(executor="local", job_ids=("4711",), host="elsewhere"))
    assert unreported(run, View()) == []


def test_a_finished_run_has_no_advice_left(run: RunDir) -> None:
    finish(run)
    record_intent(run, launch(executor="local", job_ids=("4711",)))
    assert len(unreported(run, View())) == 1
    status = run_status(run)
    assert (status.workers_unreported, status.notes) == (0, ())


# ── SLURM


def launch(**changes: object) -> Launch:
    values: dict[str, object] = {
        "number": 1, "executor": "slurm", "profile": "p", "workers": 1, "job_ids": ("7",),
        "through": True, "at": 1.0,
    }  # fmt: skip
    return Launch(**(values | changes))  # type: ignore[arg-type]


def view_of(jobs: Mapping[str, JobState]) -> View:
    now = time.time()
    seen = {job: Seen(job=state, since=now, beat=0.0) for job, state in jobs.items()}
    return View(asked_at=now, jobs=seen)


def ended(state: State, exit_status: int | None = None) -> JobState:
    return JobState(job_id="", state=state, exit_status=exit_status)


def log(run: RunDir, job_id: str, text: str) -> None:
    (run.logs / f"{job_id}_0_log.out").write_text(text)


@pytest.mark.parametrize(
    ("state", "exit_status", "text", "reason"),
    [
        (State.FAILED, 1, TRACEBACK,
         "DataError: data set mine: no file images.npy in /data: restore it"
         " (SLURM: failed, exit status 1)"),
        (State.FAILED, 127, "bash: /env/python: No such file\nsrun: error: n1: task 0: Exited\n",
         "bash: /env/python: No such file (SLURM: failed, exit status 127)"),
        (State.FAILED, 1, "2026-01-01 10:00:00 ERROR code/mine.py is not the mine:net\n",
         "code/mine.py is not the mine:net (SLURM: failed, exit status 1)"),
        (State.FAILED, 92, "", "disk or quota (SLURM: failed, exit status 92)"),
        (State.OUT_OF_MEMORY, None, "", "SLURM: out of memory"),
        (State.NODE_FAILED, None, "", "SLURM: node failed"),
        (State.UNKNOWN, None, TRACEBACK,
         "DataError: data set mine: no file images.npy in /data: restore it"),
        (State.UNKNOWN, None, "2026-01-01 10:00:00 INFO no trial to take\n", None),
        (State.COMPLETED, 0, "2026-01-01 10:00:00 INFO no trial to take\n", None),
        (State.CANCELLED, None, "", None),
        (State.PREEMPTED, None, "", None),
        (State.RUNNING, None, "", None),
        (State.PENDING, None, "", None),
    ],
)  # fmt: skip
def test_a_slurm_job_without_a_record(
    run: RunDir, state: State, exit_status: int | None, text: str, reason: str | None
) -> None:
    record_intent(run, launch())
    log(run, "7_0", text)
    job = replace(ended(state, exit_status), job_id="7_0")
    found = unreported(run, view_of({"7_0": job, "99": replace(job, job_id="99")}))
    assert [(j.job_id, j.reason) for j in found] == ([("7_0", reason)] if reason else [])


def test_a_task_that_reported_in_is_another_matter(run: RunDir) -> None:
    record_intent(run, launch())
    beat(run.workers, this_worker("7_0-w", job_id="7_0", executor="slurm"))
    jobs = {f"7_{task}": replace(ended(State.FAILED, 1), job_id=f"7_{task}") for task in (0, 1)}
    assert [job.job_id for job in unreported(run, view_of(jobs))] == ["7_1"]


def test_a_canary_that_could_not_even_fail_is_told(run: RunDir) -> None:
    record_intent(run, launch(canary="6"))
    log(run, "6", "ModuleNotFoundError: No module named 'lars_sweep'\n")
    view = view_of({
        "6": replace(ended(State.FAILED, 1), job_id="6"),
        "7_0": replace(ended(State.CANCELLED), job_id="7_0"),
    })  # fmt: skip
    (run.scheduler / "view.json").write_bytes(publish.to_json_bytes(asdict(view)))
    (note,) = run_status(run).notes
    assert note == (
        "the canary died before reporting in: ModuleNotFoundError: No module named 'lars_sweep' "
        f"(SLURM: failed, exit status 1): see {run.logs}/6_0_log.out, mend it, then "
        f"`lars-sweep resume {run.path}`"
    )


def test_why_a_trial_waits_is_not_that_a_successor_does(run: RunDir) -> None:
    record_intent(run, launch())
    waits = {
        f"7_{task}": JobState(job_id=f"7_{task}", state=State.PENDING, reason=reason)
        for task, reason in ((1, "JobArrayTaskLimit"), (2, "Resources"))
    }
    trial_id = load_plan(run).queue[0].trial_id
    for jobs, standing in (
        (waits, "waiting: pending (Resources): waits until enough nodes are free"),
        ({"7_1": waits["7_1"]}, "waiting for a worker"),
    ):
        content = publish.to_json_bytes(asdict(view_of(jobs)))
        publish.replace(run.scheduler / "view.json", content)
        assert why(run, trial_id).state == standing


def test_only_the_newest_launch_counts(run: RunDir) -> None:
    record_intent(run, launch())
    record_intent(run, launch(number=2, job_ids=("8",)))
    jobs = {name: replace(ended(State.FAILED, 1), job_id=name) for name in ("7_0", "8_0")}
    assert [job.job_id for job in unreported(run, view_of(jobs))] == ["8_0"]


def test_last_words() -> None:
    assert last_words("") == last_words("\n  \n") == ""
    assert last_words("one\ntwo\n") == "two"
    assert last_words("one\ntwo\n", error=True) == ""
    assert last_words("ValueError: first\nKeyError: 'second'\nbye\n") == "KeyError: 'second'"
    assert last_words("srun: error: exited\n") == "exited"
    assert last_words("slurmstepd-n1: error: execve(): x: none\nsrun: error: n1\n") == (
        "execve(): x: none"
    )
    assert len(last_words("x" * 1000)) == 200
