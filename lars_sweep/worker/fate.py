"""What became of the holders of claims, and whose a trial is now."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from lars_sweep.cluster.jobs import JobState, State
from lars_sweep.rundir import claims, workers
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.claims import Claim, Holding
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.patience import UNKNOWN_S, patience
from lars_sweep.rundir.workers import Worker
from lars_sweep.worker.exits import EXITS
from lars_sweep.worker.logs import cause_in_log, log_tail
from lars_sweep.worker.look import View

KEPT = (Cause.PREEMPTED, Cause.TIMED_OUT, Cause.REQUEUED)
"""Causes after which the same worker may come back soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What an attempt came to."""

    free: bool
    """Whether the trial may be taken over."""
    cause: Cause | None = None
    """Why it ended; None: it runs, or nobody knows."""
    reason: str = ""
    nodes: str = ""


RUNS = Fate(free=False)


def is_ownerless(claim: Claim, known: Container[str]) -> bool:
    """Whether a claim's holder has left no record for so long that it cannot be at work.

    A worker's first record is durable and older than its claims, and one that lives writes it anew
    every few steps. So the file was lost, and its worker with it; one that yet lives finds the
    claim superseded at its next step boundary.

    Args:
        claim: an attempt that has not given its trial back.
        known: ids of the workers whose records can be read.
    """
    return claim.worker_id not in known and time.time() - claim.taken_at > patience(UNKNOWN_S)


class Fates:
    """Judges claims by what the run directory says now; made anew for every pass over them.

    Args:
        run: the run directory.
        view: what SLURM said last.
        mine: the worker that asks; None: a person does.
        keep_s: how long a trial waits for the worker that was taken away from it.
        known: the workers that have reported in; None: they are read now.
    """

    def __init__(
        self,
        run: RunDir,
        view: View,
        *,
        mine: Worker | None = None,
        keep_s: float = 0.0,
        known: Sequence[Worker] | None = None,
    ) -> None:
        self._run, self._view, self._mine, self._keep_s = run, view, mine, keep_s
        known = workers.read_workers(run.workers) if known is None else known
        self.workers: Mapping[str, Worker] = {worker.worker_id: worker for worker in known}

    def of(self, trial_id: str, holding: Holding) -> Fate:
        """The fate of the newest attempt at a trial."""
        claim = claims.read_claim(self._run.claims, trial_id, holding.attempt)
        if claim is None:
            return RUNS  # finished and sealed a moment ago
        holder = self.workers.get(claim.worker_id)
        if holding.released:
            return self._given_back(claim, holder)
        if holder is None:
            return Fate(free=is_ownerless(claim, self.workers))
        return self.of_worker(holder)

    def is_own(self, trial_id: str, holding: Holding) -> bool:
        """Whether an earlier run or predecessor of the asking worker's job had the trial."""
        claim = claims.read_claim(self._run.claims, trial_id, holding.attempt)
        holder = self.workers.get(claim.worker_id) if claim else None
        return holder is not None and self._is_predecessor(holder)

    def of_worker(self, worker: Worker) -> Fate:
        """What became of a worker that has not said how it ended."""
        if worker.executor != "slurm":
            return Fate(free=workers.is_gone(worker) is True)
        seen = self._view.jobs.get(worker.job_id)
        if self._is_predecessor(worker):
            return self._predecessor(worker, seen.job if seen else None)
        if seen is None:
            return RUNS
        if seen.job.restarts > worker.restarts:
            kept = time.time() - seen.since < self._keep_s and seen.job.state.live
            return self._ended(worker, seen.job, free=not kept)
        if seen.job.state.live:
            return RUNS
        return self._ended(worker, seen.job, free=seen.gone(self._view.asked_at))

    def _given_back(self, claim: Claim, holder: Worker | None) -> Fate:
        said = claims.read_release(self._run.claims, claim.trial_id, claim.attempt)
        if said is None:
            return RUNS
        cause = Cause.CANCELLED if said.cause in KEPT and self._cancelled(holder) else said.cause
        kept = (
            cause in KEPT
            and holder is not None
            and holder.executor == "slurm"
            and not self._is_predecessor(holder)
            and time.time() - said.at < self._keep_s
            and self._view.may_return(holder.array)
        )
        return Fate(free=not kept, cause=cause, reason=said.reason, nodes=said.nodes)

    def _cancelled(self, holder: Worker | None) -> bool:
        """Whether somebody ended the job: to its worker `scancel` is a signal like preemption's."""
        seen = self._view.jobs.get(holder.job_id) if holder is not None else None
        return (
            holder is not None
            and seen is not None
            and seen.job.state is State.CANCELLED
            and seen.job.restarts == holder.restarts
        )

    def _is_predecessor(self, worker: Worker) -> bool:
        """Whether SLURM started the asking worker because that one was over.

        Tasks of one array run one after the other, so no further proof is needed.
        """
        mine = self._mine
        return (
            mine is not None
            and worker.executor == mine.executor == "slurm"
            and worker.array == mine.array
            and worker.worker_id != mine.worker_id
            and (worker.job_id != mine.job_id or worker.restarts < mine.restarts)
        )

    def _predecessor(self, worker: Worker, job: JobState | None) -> Fate:
        assert self._mine is not None
        if worker.job_id == self._mine.job_id:
            return Fate(free=True, cause=Cause.REQUEUED, nodes=worker.nodes)
        if job is None or job.state.live:  # asked before it ended
            return Fate(free=True, cause=self._from_log(worker), nodes=worker.nodes)
        return self._ended(worker, job, free=True)

    def _ended(self, worker: Worker, job: JobState, *, free: bool) -> Fate:
        if job.restarts > worker.restarts:
            earlier = job.earlier[worker.restarts : worker.restarts + 1]
            cause = _CAUSES.get(earlier[0], Cause.REQUEUED) if earlier else Cause.REQUEUED
            return Fate(free=free, cause=cause, nodes=worker.nodes)
        cause = _CAUSES.get(job.state) or EXITS.get(job.exit_status or 0) or self._from_log(worker)
        reason = f"{cause} (SLURM: {job.state})"
        return Fate(free=free, cause=cause, reason=reason, nodes=worker.nodes)

    def _from_log(self, worker: Worker) -> Cause:
        return cause_in_log(log_tail(self._run, worker.job_id))


_CAUSES = {
    State.OUT_OF_MEMORY: Cause.OUT_OF_MEMORY_HOST,
    State.TIMED_OUT: Cause.TIMED_OUT,
    State.PREEMPTED: Cause.PREEMPTED,
    State.NODE_FAILED: Cause.NODE_FAILED,
    State.CANCELLED: Cause.CANCELLED,
    State.REQUEUED: Cause.REQUEUED,
}
