"""Why a trial stands as it does: its attempts, its job, the last words, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lars_sweep.cluster.reasons import SUCCESSOR, explain
from lars_sweep.dispatch.alive import present_workers
from lars_sweep.dispatch.notes import OTHER_TRIALS, refusal
from lars_sweep.dispatch.trials import named_trial
from lars_sweep.dispatch.unreported import unreported
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import breaker, claims, requests, workers
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker, is_gone
from lars_sweep.study.asked import known_queue
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.canary import verdict
from lars_sweep.worker.fate import Fates
from lars_sweep.worker.logs import last_log_about, log_files
from lars_sweep.worker.look import View, look

LAST_LINES = 12
_TAKES_A_TRIAL = re.compile(r" trial [0-9a-f]+ \(.*\), attempt \d+")

_MEND = "mend it, then `lars-sweep resume`"

ADVICE = {
    Cause.PREEMPTED: "nothing: it goes on from its checkpoint, in its own job or another",
    Cause.TIMED_OUT: "nothing: a successor goes on; `lars-sweep resume` if none is left",
    Cause.REQUEUED: "nothing: it goes on from its checkpoint",
    Cause.CANCELLED: "`lars-sweep resume` goes on from its checkpoint",
    Cause.NODE_FAILED: "nothing: it goes on elsewhere; a node that fails again is excluded",
    Cause.KILLED: "the log's last lines; a kill without a word is often memory: raise job.mem_gib",
    Cause.HANG: 'the stacks in the log show where; with NCCL set NCCL_DEBUG = "INFO"',
    Cause.OUT_OF_MEMORY_HOST: "raise job.mem_gib, or lower job.tasks_per_node",
    Cause.OUT_OF_MEMORY_CUDA: "more GPUs per worker, or a smaller bn_batch (another trial)",
    Cause.DISK: "make room (`lars-sweep gc` removes what is not needed), then `lars-sweep resume`",
    Cause.DATA: "restore the data or name their place: `lars-sweep resume --data-dir DIR`",
    Cause.RETRIED: "nothing: it is tried again; `lars-sweep resume` if no worker is left",
    Cause.ERROR: f"the traceback is in the log; {_MEND}; {OTHER_TRIALS}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What is known of one trial."""

    trial_id: str
    state: str
    lines: tuple[str, ...]
    """Attempts and jobs, in words."""
    log: Path | None
    """Of the newest attempt's rank 0."""
    advice: str

    def to_json(self) -> dict[str, object]:
        return {
            "trial_id": self.trial_id, "state": self.state, "story": list(self.lines),
            "log": None if self.log is None else str(self.log), "advice": self.advice,
        }  # fmt: skip


def find_trial(run: RunDir, beginning: str) -> str:
    """The trial whose id begins so.

    Raises:
        SpecError: none does, or several do.
    """
    queue = known_queue(run, load_plan(run))
    return named_trial(run, beginning, (queued.trial_id for queued in queue))


def why(run: RunDir, beginning: str) -> Story:
    """The story of a trial."""
    trial_id = find_trial(run, beginning)
    view = look(run)
    known = {worker.worker_id: worker for worker in workers.read_workers(run.workers)}
    lines = list(_attempts(run, trial_id, known))
    standing = _standing(run, trial_id, view, known)
    if standing.holder is not None:
        lines += _job(standing.holder, view)
    if standing.job_id is None:
        log = last_log_about(run, trial_id)
    else:
        log = next(iter(log_files(run, standing.job_id)), None)
    return Story(
        trial_id=trial_id,
        state=standing.state,
        lines=tuple(lines),
        log=log,
        advice=standing.advice,
    )


def last_lines(path: Path, trial_id: str, count: int = LAST_LINES) -> list[str]:
    """The end of what a log says of a trial: up to where the job took its next one."""
    lines = path.read_text(errors="replace").splitlines()
    of_it = [number for number, line in enumerate(lines) if trial_id in line]
    if of_it:
        after = range(of_it[-1] + 1, len(lines))
        end = next((n for n in after if _TAKES_A_TRIAL.search(lines[n])), len(lines))
        lines = lines[:end]
    return lines[-count:]


def _attempts(run: RunDir, trial_id: str, known: Mapping[str, Worker]) -> Iterator[str]:
    for attempt in range(1, 1 + claims.attempts(run.claims, trial_id)):
        claim = claims.read_claim(run.claims, trial_id, attempt)
        said = claims.read_release(run.claims, trial_id, attempt)
        if claim is None:
            continue
        holder = known.get(claim.worker_id)
        where = f" on {holder.nodes or holder.host}, job {holder.job_id}" if holder else ""
        ended = f": {said.reason}, {_clock(said.at)}" if said else ""
        yield f"attempt {attempt} from {_clock(claim.taken_at)}{where}{ended}"


@dataclass(frozen=True, slots=True)
class _Standing:
    """How a trial stands, and whose job's log tells most about it."""

    state: str
    advice: str = ""
    holder: Worker | None = None
    """The worker that had the trial last."""
    unreported: str | None = None
    """A job that died before it could take any trial."""

    @property
    def job_id(self) -> str | None:
        return self.unreported if self.holder is None else self.holder.job_id


def _standing(run: RunDir, trial_id: str, view: View, known: Mapping[str, Worker]) -> _Standing:
    rows = load_table(run, "outcomes", ["trial_id", "status", "cause"]).to_pylist()
    for row in rows:
        if row["trial_id"] == trial_id:
            cause = f": {row['cause']}" if row["cause"] else ""
            return _Standing(f"{row['status']}{cause}", _OUTCOME_ADVICE.get(row["status"], ""))
    holding = claims.holdings(run.claims).get(trial_id)
    if holding is None:
        asked = requests.prune_requested(run, trial_id)
        return _Standing("to be pruned") if asked else _waiting(run, view)
    claim = claims.read_claim(run.claims, trial_id, holding.attempt)
    holder = known.get(claim.worker_id) if claim else None
    fate = Fates(run, view).of(trial_id, holding)
    if fate.cause is not None:
        return _Standing(str(fate.cause), ADVICE[fate.cause], holder)
    if fate.free:
        return _Standing("interrupted", "`lars-sweep resume`", holder)
    return _Standing("running", holder=holder)


def _waiting(run: RunDir, view: View) -> _Standing:
    if (reason := breaker.why_broken(run)) is not None:
        return _Standing(f"waiting: circuit breaker: {reason}", _MEND)
    if failed := verdict(run):
        return _Standing(f"waiting: the canary failed: {failed}", f"{_MEND}; {OTHER_TRIALS}")
    if requests.stop_requested(run):
        return _Standing("waiting: the run was cancelled", "`lars-sweep resume`")
    for seen in view.jobs.values():
        job = seen.job
        if job.state.live and job.reason not in ("", SUCCESSOR) and not job.nodes:
            said = explain(job.reason)
            return _Standing(f"waiting: {job.state} ({job.reason}): {said.meaning}", said.action)
    if present_workers(run, view):
        return _Standing("waiting for a worker")
    if refused := refusal(run):
        return _Standing(f"waiting: {refused}", _MEND)
    if died := unreported(run, view):
        return _Standing(
            f"waiting: its workers died before reporting in: {died[-1].reason}",
            _MEND,
            unreported=died[-1].job_id,
        )
    return _Standing("waiting for a worker", "`lars-sweep resume` starts workers")


def _job(holder: Worker, view: View) -> list[str]:
    gone = "gone; it last said: " if is_gone(holder) and not holder.ended else ""
    said = f"worker: {gone}{holder.state}, step {holder.steps_done} of {holder.steps}"
    seen = view.jobs.get(holder.job_id)
    if seen is None:
        return [said]
    job = seen.job
    text = f"SLURM, {_clock(view.asked_at)}: job {job.job_id} {job.state}"
    if job.reason:
        text += f" ({job.reason}: {explain(job.reason).meaning})"
    if job.exit_status:
        text += f", exit status {job.exit_status}"
    if job.earlier:
        text += f", before: {', '.join(job.earlier)}"
    return [said, text]


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


_OUTCOME_ADVICE = {
    "diverged": "a result: the learning rate is too high here; nothing to do",
    "failed": "mend what the log says, then `lars-sweep resume RUN --retry-failed`; "
    f"{OTHER_TRIALS}",
}
