"""The scheduler's parsers against what a real SLURM 22.05 said (recorded/record.py)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lars_sweep.cluster import scheduler
from lars_sweep.cluster.jobs import SLURM_STATES, JobState, State, base_id, expand_ids, state_of
from lars_sweep.cluster.reasons import REASONS, explain
from lars_sweep.cluster.scheduler import merged, parse_sacct, parse_squeue, query_jobs

RECORDED = Path(__file__).parent / "recorded"
JOBS: dict[str, str] = json.loads((RECORDED / "jobs.json").read_text())


def recorded(tool: str, moment: str) -> str:
    return (RECORDED / f"{tool}-{moment}.txt").read_text()


def answer(moment: str, monkeypatch: pytest.MonkeyPatch, *, accounting: bool) -> None:
    """Lets query_jobs read the recorded answers of a moment."""
    sacct = recorded("sacct", moment) if accounting else ""
    monkeypatch.setattr(scheduler, "_ask_controller", lambda *_: recorded("squeue", moment))
    monkeypatch.setattr(scheduler, "_ask_accounting", lambda *_: sacct)


BUSY = {
    "timed_out": State.RUNNING,
    "held": State.PENDING,
    "dependent": State.PENDING,
    "spot": State.REQUEUED,
    "spotkill": State.PREEMPTED,
    "high": State.COMPLETED,
    "cancelled": State.CANCELLED,
}
AFTER = {
    "completed": State.COMPLETED,
    "exit_3": State.FAILED,
    "killed": State.FAILED,
    "oom_in_step": State.OUT_OF_MEMORY,
    "oom_in_batch": State.OUT_OF_MEMORY,
    "timed_out": State.TIMED_OUT,
    "cancelled": State.CANCELLED,
    "spot": State.COMPLETED,
    "spotkill": State.PREEMPTED,
    "requeued_twice": State.COMPLETED,
    "node_failed": State.NODE_FAILED,
    "node_failed_requeued": State.COMPLETED,
}
# What squeue alone cannot know: that memory ran out in a step, not in the batch script.
WITHOUT_ACCOUNTING = {**AFTER, "oom_in_step": State.FAILED}


@pytest.mark.parametrize(
    ("moment", "accounting", "expected"),
    [
        ("busy", True, BUSY),
        ("busy", False, BUSY),
        ("after", True, AFTER),
        ("after", False, WITHOUT_ACCOUNTING),
    ],
)
def test_every_state_is_told_apart(
    moment: str, accounting: bool, expected: dict[str, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(moment, monkeypatch, accounting=accounting)
    states = query_jobs(JOBS[name] for name in expected)
    assert {name: states[JOBS[name]].state for name in expected} == expected


def test_runs_before_the_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    answer("after", monkeypatch, accounting=True)
    ends = {name: query_jobs([JOBS[name]])[JOBS[name]] for name in AFTER}
    assert ends["requeued_twice"].earlier == (State.REQUEUED, State.REQUEUED)
    assert ends["spot"].earlier == (State.PREEMPTED,)
    assert ends["node_failed_requeued"].earlier == (State.NODE_FAILED,)
    assert ends["completed"].earlier == ()
    assert [ends[name].restarts for name in ("requeued_twice", "spot", "completed")] == [2, 1, 0]


def test_details_of_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    answer("after", monkeypatch, accounting=True)
    ends = query_jobs([JOBS["exit_3"], JOBS["oom_in_batch"], JOBS["node_failed"]])
    assert list(ends.values()) == [
        JobState(
            job_id=JOBS["exit_3"],
            state=State.FAILED,
            reason="NonZeroExitCode",
            nodes="rec-1",
            exit_status=3,
            exit_signal=0,
        ),
        JobState(
            job_id=JOBS["oom_in_batch"],
            state=State.OUT_OF_MEMORY,
            reason="OutOfMemory",
            nodes="rec-1",
            exit_status=0,
            exit_signal=125,
        ),
        JobState(
            job_id=JOBS["node_failed"],
            state=State.NODE_FAILED,
            reason="NodeDown",
            nodes="rec-4",
            exit_status=0,
            exit_signal=0,
        ),
    ]


def test_an_array_is_answered_task_by_task(monkeypatch: pytest.MonkeyPatch) -> None:
    array = JOBS["array"]
    answer("busy", monkeypatch, accounting=True)
    tasks = query_jobs([array])
    assert list(tasks) == [f"{array}_{i}" for i in range(10)]
    running = [State.CANCELLED, State.RUNNING, State.RUNNING]
    assert [task.state for task in tasks.values()] == running + 7 * [State.PENDING]
    assert {task.reason for task in list(tasks.values())[3:]} == {"JobArrayTaskLimit"}
    assert list(query_jobs([f"{array}_7", f"{array}_2"])) == [f"{array}_7", f"{array}_2"]


@pytest.mark.parametrize("accounting", [True, False])
def test_tasks_cancelled_before_they_started(
    accounting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer("after", monkeypatch, accounting=accounting)
    for name, task in (("array", 9), ("array_cancelled_waiting", 2)):
        job = f"{JOBS[name]}_{task}"
        state = query_jobs([job])[job]
        assert (state.state, state.reason) == (State.CANCELLED, "")


def test_tasks_cancelled_before_they_started_may_be_one_row() -> None:
    # SLURM 22.05 gave both forms, depending on how much of the array had started.
    queue = parse_squeue("12_0|RUNNING|0|None|n1|\n12|CANCELLED|0|JobArrayTaskLimit||\n")
    assert {job: state.state for job, state in queue.items()} == {
        "12_0": State.RUNNING,
        "12": State.CANCELLED,
    }


def test_whole_row_answers_for_its_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "12_0|RUNNING|0|None|n1|\n12|CANCELLED|0|JobArrayTaskLimit||\n"
    monkeypatch.setattr(scheduler, "_ask_controller", lambda *_: text)
    monkeypatch.setattr(scheduler, "_ask_accounting", lambda *_: "")
    states = query_jobs(["12_0", "12_3"])
    assert [state.state for state in states.values()] == [State.RUNNING, State.CANCELLED]
    assert states["12_3"].job_id == "12_3"
    assert list(query_jobs(["12"])) == ["12_0"]


def test_squeue_is_believed_about_the_living() -> None:
    """sacct lags: it may still call a job PENDING that runs, or RUNNING that ended."""
    queued = parse_squeue("7|RUNNING|1|None|n2|\n")["7"]
    runs = parse_sacct("7|PREEMPTED|0:0|n1\n7|PENDING|0:0|None assigned\n")["7"]
    now = merged("7", queued, runs)
    assert (now.state, now.nodes, now.earlier) == (State.RUNNING, "n2", (State.PREEMPTED,))
    ended = parse_squeue("7|COMPLETED|1|None|n2|\n")["7"]
    assert merged("7", ended, runs).state is State.COMPLETED


def test_completing_counts_as_running_and_its_end_not_as_an_earlier_one() -> None:
    queued = parse_squeue("7|COMPLETING|0|None|n2|\n")["7"]
    now = merged("7", queued, parse_sacct("7|COMPLETED|0:0|n2\n")["7"])
    assert (now.state, now.reason, now.earlier) == (State.RUNNING, "COMPLETING", ())


def test_a_job_that_only_sacct_thinks_alive_is_unknown() -> None:
    now = merged("7", None, parse_sacct("7|RUNNING|0:0|n2\n")["7"])
    assert (now.state, now.reason) == (State.UNKNOWN, "sacct still says running")
    assert merged("7", None, ()) == JobState(job_id="7", state=State.UNKNOWN)


def test_nothing_asked_nothing_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert query_jobs([]) == {}


def test_states_slurm_may_invent_later_are_unknown() -> None:
    assert state_of("QUANTUM") is State.UNKNOWN
    assert state_of("CANCELLED by 1000") is State.CANCELLED
    assert state_of("CANCELLED+") is State.CANCELLED
    assert set(SLURM_STATES.values()) == set(State) - {State.UNKNOWN}


@given(st.integers(1, 10**9), st.sets(st.integers(0, 4000), min_size=1, max_size=40))
def test_expansion_undoes_slurms_compression(job: int, tasks: set[int]) -> None:
    listed = f"{job}_[{','.join(map(str, sorted(tasks)))}%4]"
    assert list(expand_ids(listed)) == [f"{job}_{task}" for task in sorted(tasks)]


@pytest.mark.parametrize(
    ("row", "tasks"),
    [
        ("5", ["5"]),
        ("5_3", ["5_3"]),
        ("5_[0-3%4]", ["5_0", "5_1", "5_2", "5_3"]),
        ("5_[0-8:4,9]", ["5_0", "5_4", "5_8", "5_9"]),
        ("5_[7]", ["5_7"]),
    ],
)
def test_forms_of_an_array_row(row: str, tasks: list[str]) -> None:
    assert list(expand_ids(row)) == tasks
    assert {base_id(task) for task in [row, *tasks]} == {"5"}


def test_every_recorded_reason_is_explained() -> None:
    reasons = {
        line.split("|")[3]
        for moment in ("busy", "after")
        for line in recorded("squeue", moment).splitlines()
    }
    assert reasons <= set(REASONS)
    assert explain("ReqNodeNotAvail, Reserved for maintenance") == REASONS["ReqNodeNotAvail"]
    assert explain("launch failed requeued held") == REASONS["JobHeldAdmin"]
    assert explain("Moonphase").meaning == "SLURM says 'Moonphase'"
