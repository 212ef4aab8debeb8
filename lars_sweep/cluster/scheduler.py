"""Asks SLURM about jobs: squeue for what lives, sacct for what ended, where there is accounting.

squeue is the authority on live jobs (sacct lags by seconds); sacct remembers runs that a requeue
hides and the step in which memory ran out. Without accounting all still works, but ended jobs are
forgotten after the site's MinJobAge (300 s by default).
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lars_sweep.cluster.jobs import JobState, State, base_id, expand_ids, state_of
from lars_sweep.errors import SchedulerError

logger = logging.getLogger(__name__)

TIMEOUT_S = 45.0
"""Of one squeue or sacct call; SLURM itself gives up on a silent controller after 10–30 s."""

DEFAULT_ARRAY_SIZE = 1001

SQUEUE = (
    "squeue", "--noheader", "--array", "--states=all",
    "--Format=JobArrayID:64|,State:32|,RestartCnt:12|,Reason:128|,NodeList:1024|",
)  # fmt: skip
SACCT = (
    "sacct", "--duplicates", "--noheader", "--parsable2",
    "--format=JobID,State,ExitCode,NodeList",
)  # fmt: skip


def query_jobs(job_ids: Iterable[str], *, timeout_s: float = TIMEOUT_S) -> dict[str, JobState]:
    """Asks the scheduler once about many jobs.

    Args:
        job_ids: ``123`` for a job or for all tasks of an array, ``123_4`` for one task.
        timeout_s: of each of the two commands, in seconds.

    Returns:
        The state of each job asked for; an array asked for as a whole gives one entry per task.
        A job that nobody knows is UNKNOWN.

    Raises:
        SchedulerError: the controller did not answer. Nothing follows about any job.
    """
    wanted = list(dict.fromkeys(job_ids))
    if not wanted:
        return {}
    asked = ",".join(dict.fromkeys(map(base_id, wanted)))
    queue = parse_squeue(_ask_controller(asked, timeout_s))
    history = parse_sacct(_ask_accounting(asked, timeout_s))
    known = _ordered({*queue, *history})
    states = {}
    for job_id in wanted:
        tasks = [task for task in known if base_id(task) == job_id != task]
        for task in tasks or [job_id]:
            # Tasks cancelled before they started are one row under the array's own id.
            row = task if task in known else base_id(task)
            state = merged(row, queue.get(row), history.get(row, ()))
            states[task] = replace(state, job_id=task)
    return states


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a job, as a row of sacct tells it."""

    state: State
    nodes: str
    exit_status: int | None
    exit_signal: int | None


def parse_squeue(text: str) -> dict[str, JobState]:
    """The rows of ``SQUEUE`` by job id; tasks of an array that still wait are expanded."""
    jobs = {}
    for line in text.splitlines():
        job_id, words, restarts, reason, nodes, *_ = (cell.strip() for cell in line.split("|"))
        for task in expand_ids(job_id):
            jobs[task] = JobState(
                job_id=task,
                state=state_of(words),
                reason=_reason(words, reason),
                nodes=nodes,
                restarts=int(restarts),
            )
    return jobs


def parse_sacct(text: str) -> dict[str, list[Run]]:
    """The runs of each job, oldest first, from the rows of ``SACCT``."""
    runs: dict[str, list[Run]] = {}
    for line in text.splitlines():
        job_id, words, exit_code, nodes = line.split("|")
        job, is_step, _ = job_id.partition(".")
        state = state_of(words)
        if not is_step:
            run = Run(state=state, nodes=_real_nodes(nodes), **_exit(exit_code, state))
            for task in expand_ids(job):
                runs.setdefault(task, []).append(run)
        elif state is State.OUT_OF_MEMORY and job in runs:
            # With srun only the step is OUT_OF_MEMORY; the job itself merely FAILED.
            runs[job][-1] = replace(runs[job][-1], state=State.OUT_OF_MEMORY)
    return runs


def merged(job_id: str, queued: JobState | None, runs: Sequence[Run]) -> JobState:
    """What squeue and sacct say together about one job."""
    last = runs[-1] if runs else None
    if queued is not None and queued.state.live:
        waits_again = queued.state is State.PENDING and queued.restarts > 0
        state = State.REQUEUED if waits_again else queued.state
        return replace(queued, state=state, earlier=_ended(runs[: queued.restarts]))
    if last is not None and not last.state.live:
        return JobState(
            job_id=job_id,
            state=last.state,
            reason=queued.reason if queued else "",
            nodes=last.nodes,
            restarts=len(runs) - 1,
            exit_status=last.exit_status,
            exit_signal=last.exit_signal,
            earlier=_ended(runs[:-1]),
        )
    if queued is not None:  # ended a moment ago; sacct does not know it yet
        return replace(queued, earlier=_ended(runs[: queued.restarts]))
    reason = f"sacct still says {last.state}" if last else ""
    return JobState(job_id=job_id, state=State.UNKNOWN, reason=reason, earlier=_ended(runs))


def jobs_named(names: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """Ids of the jobs or arrays of these names, as far as the controller still lists them.

    Raises:
        SchedulerError: it did not answer.
    """
    command = (
        "squeue",
        "--noheader",
        "--states=all",
        "--format=%F|%j",
        f"--name={','.join(names)}",
    )
    done = _run(command, timeout_s)
    if done.returncode:
        raise SchedulerError(f"squeue did not answer: {done.stderr.strip() or 'no message'}")
    rows = (line.strip().split("|") for line in done.stdout.splitlines())
    return {name: array for array, name in rows}


def down_nodes(nodes: str, *, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Those of a host list that are not in order; empty if all are, or nobody says."""
    states = "down,drain,fail,maint,no_respond,unknown"
    try:
        done = _run(
            ("sinfo", "-h", "-N", f"--nodes={nodes}", f"--states={states}", "-o", "%N"), timeout_s
        )
    except SchedulerError:
        return []
    return sorted(set(done.stdout.split()))


def exclude_nodes(arrays: Sequence[str], nodes: Iterable[str]) -> None:
    """Keep waiting jobs off nodes, where SLURM's commands exist; jobs look for themselves too."""
    for array in arrays:
        with contextlib.suppress(SchedulerError):
            _run(
                ("scontrol", "update", f"JobId={array}", f"ExcNodeList={','.join(sorted(nodes))}"),
                TIMEOUT_S,
            )


def max_array_size(*, timeout_s: float = TIMEOUT_S) -> int:
    """Most tasks of one array; SLURM's default if the controller does not say."""
    try:
        return int(configuration(timeout_s=timeout_s)["MaxArraySize"])
    except (SchedulerError, KeyError, ValueError):
        return DEFAULT_ARRAY_SIZE


def configuration(*, timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """The controller's configuration, as ``scontrol show config`` prints it.

    Raises:
        SchedulerError: it did not answer.
    """
    done = _run(("scontrol", "show", "config"), timeout_s)
    if done.returncode:
        raise SchedulerError(f"scontrol did not answer: {done.stderr.strip() or 'no message'}")
    pairs = (line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _reason(words: str, reason: str) -> str:
    """Why it stands so; for the rarer states (COMPLETING, SUSPENDED) their own name says it."""
    state = state_of(words)
    if state is State.CANCELLED:
        return ""  # SLURM leaves the reason of its waiting there
    if reason != "None":
        return reason
    return words if state.live and words not in ("PENDING", "RUNNING") else ""


def _ended(runs: Sequence[Run]) -> tuple[State, ...]:
    """A run that sacct calls REQUEUED has ended too: somebody asked for it to run again."""
    still = (State.PENDING, State.RUNNING)
    return tuple(run.state for run in runs if run.state not in still)


def _exit(exit_code: str, state: State) -> Mapping[str, int | None]:
    if state.live:
        return {"exit_status": None, "exit_signal": None}
    status, _, number = exit_code.partition(":")
    return {"exit_status": int(status or 0), "exit_signal": int(number or 0)}


def _real_nodes(nodes: str) -> str:
    return "" if nodes == "None assigned" else nodes


def _ordered(job_ids: Iterable[str]) -> list[str]:
    """By job, then by task, as numbers."""
    return sorted(job_ids, key=lambda job_id: [int(part) for part in job_id.split("_")])


def _ask_controller(job_ids: str, timeout_s: float) -> str:
    done = _run((*SQUEUE, f"--jobs={job_ids}"), timeout_s)
    # squeue complains so when asked about one forgotten job, and not when asked about several.
    if done.returncode and "Invalid job id" not in done.stderr:
        raise SchedulerError(f"squeue did not answer: {done.stderr.strip() or 'no message'}")
    return done.stdout


def _ask_accounting(job_ids: str, timeout_s: float) -> str:
    try:
        done = _run((*SACCT, f"--jobs={job_ids}"), timeout_s)
    except SchedulerError as error:
        logger.debug("going on without accounting: %s", error)
        return ""
    if done.returncode:
        logger.debug("going on without accounting: %s", done.stderr.strip())
        return ""
    return done.stdout


def _run(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SchedulerError(f"{command[0]} did not answer within {timeout_s:.0f} s") from None
    except OSError as error:
        raise SchedulerError(
            f"cannot run {command[0]} ({error.strerror}): is this a node of the cluster?"
        ) from None


def _environment() -> dict[str, str]:
    """Without the user's own formats, filters and clusters; array indices are not cut short."""
    theirs = ("SQUEUE_", "SACCT_", "SLURM_CLUSTERS")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(theirs)}
    return {**kept, "LC_ALL": "C", "SLURM_BITSTR_LEN": "0"}
