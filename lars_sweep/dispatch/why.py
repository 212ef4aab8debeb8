"""Why a trial stands as it does: its attempts, its job, the last words, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lars_sweep.cluster.reasons import explain
from lars_sweep.errors import SpecError
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import breaker, claims, requests, workers
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker, is_gone
from lars_sweep.study.asked import known_queue
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.fate import Fates
from lars_sweep.worker.logs import log_files
from lars_sweep.worker.look import View, look

LAST_LINES = 12

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
    Cause.ERROR: "the traceback is in the log; mend it, then `lars-sweep resume`",
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
    ids = {queued.trial_id for queued in known_queue(run, load_plan(run))}
    found = [trial_id for trial_id in ids if trial_id.startswith(beginning)]
    if len(found) != 1:
        what = "no trial" if not found else f"{len(found)} trials"
        raise SpecError(
            f"{what} of {run.path} begin with {beginning!r}: see parts/outcomes, claims"
        )
    return found[0]


def why(run: RunDir, beginning: str) -> Story:
    """The story of a trial."""
    trial_id = find_trial(run, beginning)
    view = look(run)
    known = {worker.worker_id: worker for worker in workers.read_workers(run.workers)}
    lines = list(_attempts(run, trial_id, known))
    state, advice, holder = _state(run, trial_id, view, known)
    if holder is not None:
        lines += _job(holder, view)
    files = log_files(run, holder.job_id) if holder else []
    return Story(
        trial_id=trial_id,
        state=state,
        lines=tuple(lines),
        log=files[0] if files else None,
        advice=advice,
    )


def last_lines(path: Path, count: int = LAST_LINES) -> list[str]:
    """The end of a log."""
    return path.read_text(errors="replace").splitlines()[-count:]


def _attempts(run: RunDir, trial_id: str, known: dict[str, Worker]) -> Iterator[str]:
    for attempt in range(1, 1 + claims.attempts(run.claims, trial_id)):
        claim = claims.read_claim(run.claims, trial_id, attempt)
        said = claims.read_release(run.claims, trial_id, attempt)
        if claim is None:
            continue
        holder = known.get(claim.worker_id)
        where = f" on {holder.nodes or holder.host}, job {holder.job_id}" if holder else ""
        ended = f": {said.reason}, {_clock(said.at)}" if said else ""
        yield f"attempt {attempt} from {_clock(claim.taken_at)}{where}{ended}"


def _state(
    run: RunDir, trial_id: str, view: View, known: dict[str, Worker]
) -> tuple[str, str, Worker | None]:
    """State in a word, advice, and the worker that had the trial last."""
    rows = load_table(run, "outcomes", ["trial_id", "status", "cause"]).to_pylist()
    for row in rows:
        if row["trial_id"] == trial_id:
            cause = f": {row['cause']}" if row["cause"] else ""
            advice = _OUTCOME_ADVICE.get(row["status"], "")
            return f"{row['status']}{cause}", advice, None
    holding = claims.holdings(run.claims).get(trial_id)
    if holding is None:
        asked = requests.prune_requested(run, trial_id)
        return ("to be pruned", "", None) if asked else _waiting(run, view)
    claim = claims.read_claim(run.claims, trial_id, holding.attempt)
    holder = known.get(claim.worker_id) if claim else None
    fate = Fates(run, view).of(trial_id, holding)
    if fate.cause is None:
        gone = fate.free
        return ("interrupted", "`lars-sweep resume`", holder) if gone else ("running", "", holder)
    return str(fate.cause), ADVICE[fate.cause], holder


def _waiting(run: RunDir, view: View) -> tuple[str, str, None]:
    if (reason := breaker.why_broken(run)) is not None:
        return f"waiting: circuit breaker: {reason}", "mend it, then `lars-sweep resume`", None
    if requests.stop_requested(run):
        return "waiting: the run was cancelled", "`lars-sweep resume`", None
    live = [seen.job for seen in view.jobs.values() if seen.job.state.live]
    for job in live:
        if job.reason and not job.nodes:
            advice = explain(job.reason)
            return f"waiting: {job.state} ({job.reason}): {advice.meaning}", advice.action, None
    return "waiting for a worker", "" if live else "`lars-sweep resume` starts workers", None


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
    "failed": "mend what the log says; `lars-sweep launch` into another run directory",
}
