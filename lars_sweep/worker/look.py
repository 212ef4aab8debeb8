"""What SLURM says about a run's jobs: one question a minute for all its workers together.

The answer lies in the run directory. Who finds it old links a file named after the current minute;
the one who succeeds asks, the others go on with the old answer. A controller that does not answer
changes nothing: no job is gone because nobody could be asked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace

from lars_sweep.cluster.jobs import JobState, State, base_id
from lars_sweep.cluster.scheduler import query_jobs
from lars_sweep.errors import RunError, SchedulerError
from lars_sweep.rundir import publish, workers
from lars_sweep.rundir.launches import read_launches
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.patience import LOOK_EVERY_S, LOOKS_APART_S, patience
from lars_sweep.rundir.records import read_if_whole
from lars_sweep.rundir.workers import Worker

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One job over the last looks."""

    job: JobState
    since: float
    """Time of the first look of the unbroken series that found it live, or found it ended, in this
    run of it."""
    beat: float
    """The newest heartbeat of its workers at that look, by their own clock."""

    def gone(self, asked_at: float) -> bool:
        """Whether two looks far enough apart agree that it has ended and will not come back."""
        return not self.job.state.live and asked_at - self.since >= patience(LOOKS_APART_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The last answer, and what remains of earlier ones."""

    asked_at: float = 0.0
    """Unix time; 0: never."""
    trouble: str = ""
    """Why the last question was not answered."""
    jobs: Mapping[str, Seen] = field(default_factory=dict)

    def of_array(self, array: str) -> list[Seen]:
        return [seen for job_id, seen in self.jobs.items() if base_id(job_id) == array]

    def may_return(self, array: str) -> bool:
        """Whether a task of the array runs or waits; unknown ones may have been submitted since."""
        tasks = self.of_array(array)
        return not tasks or any(seen.job.state.live for seen in tasks)


def read_view(run: RunDir) -> View:
    """The last answer, as it lies there."""
    path = run.scheduler / "view.json"
    return read_if_whole(path, View, instead="SLURM is asked anew") or View()


def look(run: RunDir, *, newer_than: float | None = None) -> View:
    """The scheduler's view of the run, asked for anew if the last answer is old.

    Args:
        run: the run directory. One that takes nothing more (full, read-only) is trouble that the
            view tells of: whoever only reads must see how the run stands all the same.
        newer_than: Unix time: a person waits, so an answer from before it will not do.
    """
    view = read_view(run)
    try:
        if not _is_due(run, view, newer_than):
            return view
        view = _asked(run, view)
        content = publish.to_json_bytes(asdict(view))
        publish.replace(run.scheduler / "view.json", content, durable=False)
    except RunError as error:
        logger.warning("%s", error)
        return replace(view, trouble=str(error))
    return view


def note_cancelled(run: RunDir, arrays: Iterable[str]) -> None:
    """Keep what `scancel` has just been told, until SLURM is asked the next time."""
    view, told = read_view(run), {*arrays}
    jobs = {array: _cancelled(array) for array in told if not view.of_array(array)}
    for job_id, seen in view.jobs.items():
        live = base_id(job_id) in told and seen.job.state.live
        jobs[job_id] = _cancelled(job_id, seen) if live else seen
    content = publish.to_json_bytes(asdict(replace(view, jobs=jobs)))
    publish.replace(run.scheduler / "view.json", content, durable=False)


def _is_due(run: RunDir, view: View, newer_than: float | None) -> bool:
    """Whether it is on the caller to ask."""
    if not _is_on_slurm(run):
        return False
    if newer_than is not None:
        return view.asked_at <= newer_than
    now, every = time.time(), patience(LOOK_EVERY_S)
    if now - view.asked_at < every:
        return False
    minute = run.scheduler / f"asked.{int(now / every)}"
    if not publish.publish_new(minute, b"{}"):
        return False
    for name in publish.names(run.scheduler):
        if name.startswith("asked.") and name != minute.name:
            (run.scheduler / name).unlink(missing_ok=True)
    return True


def _asked(run: RunDir, view: View) -> View:
    now = time.time()  # before the question: what was submitted meanwhile need not be in the answer
    known = workers.read_workers(run.workers)
    try:
        states = query_jobs(_wanted(run, view, known))
    except SchedulerError as error:
        logger.warning("%s", error)
        return replace(view, trouble=str(error))
    return View(asked_at=now, jobs=_merged(view, states, known, now))


def _is_on_slurm(run: RunDir) -> bool:
    return any(launch.executor == "slurm" for launch in read_launches(run))


def _wanted(run: RunDir, view: View, known: Iterable[Worker]) -> Iterable[str]:
    """All jobs that may still change: arrays as a whole, and tasks that were seen alive."""
    settled = {job_id for job_id, seen in view.jobs.items() if seen.gone(view.asked_at)}
    for launch in read_launches(run):
        if launch.executor != "slurm":
            continue
        for array in (*launch.job_ids, *filter(None, [launch.canary])):
            tasks = view.of_array(array)
            if not tasks or not all(seen.gone(view.asked_at) for seen in tasks):
                yield array
    yield from (job_id for job_id in view.jobs if job_id not in settled)
    yield from (
        worker.job_id
        for worker in known
        if worker.executor == "slurm" and not worker.ended and worker.job_id not in settled
    )


def _merged(
    view: View, states: Mapping[str, JobState], known: Iterable[Worker], now: float
) -> dict[str, Seen]:
    beats: dict[str, float] = {}
    for worker in known:
        beats[worker.job_id] = max(worker.updated_at, beats.get(worker.job_id, 0.0))
    jobs = dict(view.jobs)
    for job_id, state in states.items():
        before = jobs.get(job_id)
        if before is not None and state.state is State.UNKNOWN and not before.job.state.live:
            state = before.job  # forgotten since: what was known of its end remains
        if before is not None and not state.nodes:
            state = replace(state, nodes=before.job.nodes)  # of a job that waits again
        seen = Seen(job=state, since=now, beat=beats.get(job_id, 0.0))
        if before is not None and _unchanged(before, seen):
            seen = replace(seen, since=before.since)
        jobs[job_id] = seen
    # An array that nobody had started to run was one row; it is its tasks now.
    arrays = {base_id(job_id) for job_id in states if "_" in job_id}
    return {job_id: seen for job_id, seen in jobs.items() if job_id not in arrays}


def _cancelled(job_id: str, before: Seen | None = None) -> Seen:
    job = before.job if before else JobState(job_id=job_id, state=State.CANCELLED)
    job = replace(job, state=State.CANCELLED, reason="")
    return Seen(job=job, since=time.time(), beat=before.beat if before else 0.0)


def _unchanged(before: Seen, now: Seen) -> bool:
    """Whether the series goes on: as live as before, the same run of it, and silent if ended."""
    live = now.job.state.live
    return (
        before.job.state.live == live
        and before.job.restarts == now.job.restarts
        and (live or before.beat == now.beat)
    )
