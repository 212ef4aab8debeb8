"""A worker: takes trials until work or time is over. Runs inside a job."""

from __future__ import annotations

import logging
import sys
import uuid
from dataclasses import replace

import lars_sweep
from lars_sweep.errors import RunError
from lars_sweep.outcomes.loose import publish_outcome
from lars_sweep.outcomes.seal import PART_TRIALS, seal, seal_all
from lars_sweep.rundir import claims, requests, workers
from lars_sweep.rundir.claims import Claim
from lars_sweep.rundir.layout import RunDir, open_run
from lars_sweep.spec.trainer import Signal, Trainer, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import Plan, QueuedTrial, load_plan
from lars_sweep.worker.control import PruneRule, TrialControl
from lars_sweep.worker.effort import effort_of, failures_before
from lars_sweep.worker.ending import JobEnd
from lars_sweep.worker.order import WorkOrder
from lars_sweep.worker.provenance import git_commit
from lars_sweep.worker.record import Provenance, make_outcome
from lars_sweep.worker.take import TrialSource
from lars_sweep.worker.trainers import make_trainer

logger = logging.getLogger(__name__)

ATTEMPTS_THAT_MAY_FAIL = 2
"""An error in one attempt may be the node's; in two it is the trial's."""


class WorkerProcess:
    """One worker's life in this process."""

    def __init__(
        self, run: RunDir, trainer: Trainer, ending: JobEnd, executor: str, job_id: str
    ) -> None:
        self.run = run
        self.trainer = trainer
        self.plan: Plan = load_plan(run)
        self._ending = ending
        self._record = workers.this_worker(
            f"{job_id}-{uuid.uuid4().hex[:8]}", job_id=job_id, executor=executor
        )
        self._source = TrialSource(
            self.run, self.plan, self._record.worker_id, is_dead=self._holder_is_dead
        )
        self._unsealed: list[str] = []
        hardware = self.trainer.hardware
        self._provenance = Provenance(
            sweep=self.run.sweep,
            spec_hash=self.run.spec_hash,
            hardware=hardware,
            versions=f"lars-sweep {lars_sweep.__version__}, {hardware.versions}",
            git_commit=git_commit(),
        )
        self._record = replace(self._record, devices=hardware.devices)

    def work(self) -> str:
        """Run trials until none is left, time is over or a stop is asked; returns why it ended."""
        self._record = workers.beat(self.run.workers, self._record)
        reason = "error"
        try:
            reason = self._loop()
        finally:
            # After an error too: whoever looks at the run must not wait for this worker.
            self._record = workers.beat(
                self.run.workers, replace(self._record, state=f"ended: {reason}", trial_id=None)
            )
        return reason

    def _loop(self) -> str:
        while (stop := self._must_stop()) is None:
            taken = self._source.next()
            if taken is None:
                break
            self._run_trial(*taken)
            if len(self._unsealed) >= PART_TRIALS:
                self._seal_own()
        if self._source.all_finished():
            seal_all(self.run)
            self._drop_points()
            return "no work left"
        self._seal_own()
        return stop or "no trial to take"

    def _run_trial(self, queued: QueuedTrial, claim: Claim) -> None:
        logger.info("trial %s (%s), attempt %d", queued.trial_id, queued.stratum, claim.attempt)
        trial = self.plan.trial(queued)
        control = TrialControl(
            self.run,
            trial,
            claim,
            self._record,
            interrupted=self._ending,
            prune=self._prune_rule(queued),
        )
        try:
            result = self._train(trial, control)
            if claims.is_superseded(self.run.claims, claim):
                logger.warning("trial %s: attempt %d superseded", claim.trial_id, claim.attempt)
            elif result.status == "interrupted":
                claims.release(self.run.claims, claim, control.stop_reason or "interrupted")
            else:
                self._publish(queued, trial, claim, result)
        except RunError:
            raise  # the run directory itself fails: no other trial would fare better
        except Exception as error:
            logger.exception("trial %s failed", queued.trial_id)
            self._after_failure(queued, trial, claim, error)
        self._record = replace(control.worker, trials_done=self._record.trials_done)

    def _train(self, trial: TrialSpec, control: TrialControl) -> TrialResult:
        if requests.prune_requested(self.run, trial.trial_id):
            return _nothing_done("pruned", cause="user")
        result = self.trainer.train(trial, control)
        # Who asked for it is known here only: the pruner or the user.
        return replace(result, cause=control.stop_reason) if result.status == "pruned" else result

    def _after_failure(
        self, queued: QueuedTrial, trial: TrialSpec, claim: Claim, error: Exception
    ) -> None:
        if claims.is_superseded(self.run.claims, claim):
            return  # its files may have been taken from under it
        cause = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        if failures_before(self.run, claim) + 1 < ATTEMPTS_THAT_MAY_FAIL:
            claims.release(self.run.claims, claim, f"failed: {cause}")
            return
        self._publish(queued, trial, claim, _nothing_done("ok"), failure=cause)

    def _publish(
        self,
        queued: QueuedTrial,
        trial: TrialSpec,
        claim: Claim,
        result: TrialResult,
        *,
        failure: str | None = None,
    ) -> None:
        outcome = make_outcome(
            queued, trial, result, effort_of(self.run, claim), self._provenance, failure=failure
        )
        if publish_outcome(self.run, outcome):
            self._unsealed.append(queued.trial_id)
            self._record = replace(self._record, trials_done=self._record.trials_done + 1)
            self.run.drop_checkpoints(queued.trial_id)

    def _seal_own(self) -> None:
        seal(self.run, self._unsealed)
        self._unsealed = []

    def _drop_points(self) -> None:
        if self.plan.is_adaptive:
            from lars_sweep.study.asked import drop_sealed_points

            self._source.all_finished()  # brings the set of sealed trials up to date
            drop_sealed_points(self.run, self.plan, self._source.sealed)

    # ── why to stop
    def _must_stop(self) -> str | None:
        if requests.stop_requested(self.run):
            return "cancelled"
        signal = self._ending()
        return None if signal is Signal.GO_ON else signal.name.lower().replace("_", " ")

    # ── others
    def _holder_is_dead(self, claim: Claim) -> bool:
        """Whether a claim's holder is gone for sure, as far as can be seen from this machine."""
        for worker in workers.read_workers(self.run.workers):
            if worker.worker_id == claim.worker_id:
                return workers.is_gone(worker) is True
        return False

    def _prune_rule(self, queued: QueuedTrial) -> PruneRule | None:
        if self.plan.spec.strategy.pruner is None:
            return None
        from lars_sweep.study.prune import prune_rule

        return prune_rule(self.run, self.plan, queued)


def _nothing_done(status: str, cause: str | None = None) -> TrialResult:
    return TrialResult(
        status=status,  # type: ignore[arg-type]
        cause=cause,
        steps_done=0,
        lr_peak=0.0,
        lr_integral=0.0,
        chance=0.0,
    )


def work(order: WorkOrder, *, job_id: str) -> str:
    """Be one rank of a worker until work or time is over; returns why it ended.

    Rank 0 takes the trials; the others take part in each until it dismisses them.

    Raises:
        RunError: the run directory cannot be used (gone, full, of another version).
    """
    for entry in reversed(order.import_path):
        if entry not in sys.path:
            sys.path.insert(0, entry)
    ending = JobEnd(order.time_limit_s)
    run = open_run(order.run)
    trainer = make_trainer(run.trainer, order)
    ending.listen()
    try:
        if trainer.leads:
            reason = WorkerProcess(run, trainer, ending, order.executor, job_id).work()
        else:
            trainer.follow(ending)
            reason = "dismissed"
    finally:
        trainer.close()
    logger.info("worker ended: %s", reason)
    return reason
