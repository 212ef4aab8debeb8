"""A worker: takes trials until work or time is over. Runs inside a job."""

from __future__ import annotations

import logging
import os
import random
import time
import uuid
from dataclasses import replace
from typing import Literal

import lars_sweep
from lars_sweep.cluster.hosts import expand_hosts
from lars_sweep.cluster.scheduler import down_nodes, exclude_nodes
from lars_sweep.errors import DataError, RunError, WorldLost
from lars_sweep.outcomes.loose import publish_outcome
from lars_sweep.outcomes.seal import SEAL_EVERY, seal, seal_all
from lars_sweep.outcomes.tables import warm_up
from lars_sweep.rundir import breaker, claims, nodes, requests, workers
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.claims import Claim, Release
from lars_sweep.rundir.launches import read_launches
from lars_sweep.rundir.layout import RunDir, open_run
from lars_sweep.rundir.patience import patience
from lars_sweep.spec.trainer import Signal, Trainer, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import Plan, QueuedTrial, load_plan
from lars_sweep.worker import code, exits
from lars_sweep.worker.canary import sing
from lars_sweep.worker.control import PruneRule, TrialControl
from lars_sweep.worker.effort import effort_of
from lars_sweep.worker.ending import NO_WORK_LEFT, JobEnd
from lars_sweep.worker.fate import Fate, Fates
from lars_sweep.worker.look import look
from lars_sweep.worker.order import WorkOrder
from lars_sweep.worker.place import Place
from lars_sweep.worker.provenance import git_commit
from lars_sweep.worker.record import Effort, Provenance, make_outcome
from lars_sweep.worker.retry import cause_of, earlier_releases, may_retry
from lars_sweep.worker.stage import original, staged
from lars_sweep.worker.take import TrialSource
from lars_sweep.worker.trainers import make_trainer
from lars_sweep.worker.watchdog import Watchdog

logger = logging.getLogger(__name__)

IDLE_S = 150.0
"""A SLURM worker that finds nothing to take waits so long for trials of dead workers: two looks."""
IDLE_LOOK_S = 5.0


class WorkerProcess:
    """One worker's life in this process."""

    def __init__(
        self,
        run: RunDir,
        trainer: Trainer,
        ending: JobEnd,
        executor: str,
        job_id: str,
        *,
        place: Place | None = None,
        order: WorkOrder | None = None,
    ) -> None:
        place = place or Place()
        order = order or WorkOrder(run=run.path, executor=executor)
        self.run = run
        self.trainer = trainer
        self.plan: Plan = load_plan(run)
        self._ending = ending
        self._preemption = order.preemption
        self._retry = order.retry
        self._record = workers.this_worker(
            f"{job_id}-{place.tag}{uuid.uuid4().hex[:8]}",
            job_id=job_id,
            executor=executor,
            restarts=place.restarts,
            nodes=place.nodes,
        )
        self._source = TrialSource(
            self.run, self.plan, self._record.worker_id, fates=self._judge, died=self._note_death
        )
        self._over: str | None = None
        self._unsealed: list[str] = []
        # Workers that begin together would all seal at once: the first time comes by chance.
        self._seal_at = random.randrange(SEAL_EVERY, 2 * SEAL_EVERY)
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
        warm_up()  # now, not between two trials
        self._record = workers.beat(self.run.workers, self._record, durable=True)
        reason = "error"
        try:
            reason = self._loop()
        except WorldLost:
            os._exit(exits.LOST)  # SLURM knows how the other rank ended; nothing is said before
        except RunError as error:
            reason = str(Cause.DISK) if exits.is_disk(error) else reason
            raise
        finally:
            # After an error too: whoever looks at the run must not wait for this worker.
            self._record = workers.beat(
                self.run.workers, replace(self._record, state=f"ended: {reason}", trial_id=None)
            )
        return reason

    def _loop(self) -> str:
        stop = self._run_trials()
        while self._source.all_finished():
            seal_all(self.run)
            # A damaged outcome is set aside there, and its trial is open again.
            if self._source.all_finished():
                self._drop_points()
                return NO_WORK_LEFT
            stop = self._run_trials()
        self._seal_own()
        return stop or "no trial to take"

    def _run_trials(self) -> str | None:
        """Until none is to be had, which is None, or a reason to stop."""
        while (stop := self._must_stop()) is None:
            taken = self._source.next() or self._wait_for_work()
            if taken is None:
                return self._must_stop()
            self._run_trial(*taken)
            if len(self._unsealed) >= self._seal_at:
                self._seal_own(wait=False)
        return stop

    def _wait_for_work(self) -> tuple[QueuedTrial, Claim] | None:
        """On SLURM, stay until the trials of a dead worker would have come free."""
        if self._record.executor != "slurm":
            return None
        until = time.monotonic() + patience(IDLE_S)
        while time.monotonic() < until and not self._source.all_finished():
            self._record = workers.beat(
                self.run.workers, replace(self._record, state="idle", trial_id=None)
            )
            time.sleep(min(IDLE_LOOK_S, patience(IDLE_S) / 10))
            if (stop := self._must_stop()) is not None:
                self._over = stop
                return None
            if (taken := self._source.next()) is not None:
                return taken
        return None

    def _run_trial(self, queued: QueuedTrial, claim: Claim) -> None:
        logger.info("trial %s (%s), attempt %d", queued.trial_id, queued.stratum, claim.attempt)
        trial = self.plan.trial(queued)
        earlier = earlier_releases(self.run, claim)
        if earlier and earlier[-1].cause is not None and earlier[-1].cause.is_hardware:
            self._blame(earlier[-1], claim)
        if not may_retry(earlier, self._retry):
            self._give_up(queued, trial, claim, earlier[-1])
            return
        control = TrialControl(
            self.run,
            trial,
            claim,
            self._record,
            interrupted=self._ending,
            prune=self._prune_rule(queued),
        )
        control.begin()
        try:
            result = self._train(trial, control)
            logger.info(
                "trial %s: %s, steps %d to %d", claim.trial_id, result.status, result.start_step,
                result.steps_done,
            )  # fmt: skip
            if claims.is_superseded(self.run.claims, claim):
                logger.warning("trial %s: attempt %d superseded", claim.trial_id, claim.attempt)
            elif result.status == "interrupted":
                self._give_back(claim, control, result.signal)
            else:
                self._publish(queued, trial, effort_of(self.run, claim), result)
                breaker.note_success(self.run)
        except DataError as error:
            # No other trial would fare better, and this one is not to blame.
            reason = str(error).splitlines()[0][:300]
            nodes_here = self._record.nodes
            claims.release(self.run.claims, claim, reason, cause=Cause.DATA, nodes=nodes_here)
            self._count(Cause.DATA, reason)
            raise
        except (RunError, WorldLost):
            raise  # the run directory or the world itself fails: no other trial would fare better
        except Exception as error:
            logger.exception("trial %s failed", queued.trial_id)
            self._after_failure(queued, trial, claim, error)
        self._record = replace(control.worker, trials_done=self._record.trials_done)

    def _give_back(self, claim: Claim, control: TrialControl, signal: Signal) -> None:
        reason = control.stop_reason or signal.name.lower()
        if reason == "preempted" and requests.stop_requested(self.run):
            reason = "cancelled"  # `cancel` also sends the signal, for workers that wait
        causes = {"preempted": Cause.PREEMPTED, "out_of_time": Cause.TIMED_OUT}
        cause = causes.get(reason, Cause.CANCELLED)
        claims.release(self.run.claims, claim, reason, cause=cause, nodes=self._record.nodes)
        if reason in causes:
            self._over = reason.replace("_", " ")  # another rank may have heard it first

    def _train(self, trial: TrialSpec, control: TrialControl) -> TrialResult:
        if requests.prune_requested(self.run, trial.trial_id):
            return _nothing_done("pruned", "user")
        result = self.trainer.train(trial, control)
        # Who asked for it is known here only: the pruner or the user.
        return replace(result, cause=control.stop_reason) if result.status == "pruned" else result

    def _after_failure(
        self, queued: QueuedTrial, trial: TrialSpec, claim: Claim, error: Exception
    ) -> None:
        if claims.is_superseded(self.run.claims, claim):
            return  # its files may have been taken from under it
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:300]
        cause, where = cause_of(error), self._record.nodes
        if cause is Cause.DISK:  # no other trial would fare better
            claims.release(self.run.claims, claim, reason, cause=cause, nodes=where)
            raise RunError(reason) from error
        failed = Release(cause=cause, reason=reason, at=time.time(), nodes=where)
        if may_retry([*earlier_releases(self.run, claim), failed], self._retry):
            claims.release(self.run.claims, claim, reason, cause=cause, nodes=where)
        else:
            effort = effort_of(self.run, claim)
            self._publish(queued, trial, effort, _nothing_done("failed", reason))
        self._count(failed.cause, failed.reason)

    def _give_up(self, queued: QueuedTrial, trial: TrialSpec, claim: Claim, last: Release) -> None:
        """Close a trial whose attempts ended too often; this claim is no attempt of its own."""
        effort = replace(effort_of(self.run, claim), attempts=claim.attempt - 1)
        self._publish(queued, trial, effort, _nothing_done("failed", last.reason))

    def _note_death(self, fate: Fate) -> None:
        if fate.cause is not None and fate.cause.counts:
            self._count(fate.cause, fate.reason)

    def _blame(self, last: Release, claim: Claim) -> None:
        """A node whose hardware fails again gets no more workers of this run."""
        culprits = down_nodes(last.nodes) or expand_hosts(last.nodes)
        attempt = f"{claim.trial_id}.{claim.attempt}"
        limit = self._retry.exclude_node_after
        if nodes.note_failure(self.run, culprits, attempt, exclude_after=limit):
            arrays = [array for launch in read_launches(self.run) for array in launch.job_ids]
            exclude_nodes(arrays, nodes.excluded(self.run))

    def _count(self, cause: Cause | None, reason: str) -> None:
        """A row of like failures says something about more than these trials."""
        kind = str(cause)
        if cause is Cause.ERROR:
            # Messages differ in their details; the exception's name is what they share.
            kind = f"{kind} {reason.split(':')[0]}"
        breaker.note_failure(self.run, kind, stop_after=self._retry.stop_after)

    def _publish(
        self, queued: QueuedTrial, trial: TrialSpec, effort: Effort, result: TrialResult
    ) -> None:
        if result.simulated_s is not None:
            effort = replace(effort, wall_s=result.simulated_s)
        outcome = make_outcome(queued, trial, result, effort, self._provenance)
        if publish_outcome(self.run, outcome):
            self._unsealed.append(queued.trial_id)
            self._record = replace(self._record, trials_done=self._record.trials_done + 1)
            if (
                result.status != "failed"
            ):  # such a trial may be tried again, and go on from what it had
                self.run.drop_checkpoints(queued.trial_id)

    def _seal_own(self, *, wait: bool = True) -> None:
        if seal(self.run, self._unsealed, wait=wait):
            self._unsealed = []
            self._seal_at = SEAL_EVERY

    def _drop_points(self) -> None:
        if self.plan.is_adaptive:
            from lars_sweep.study.asked import drop_sealed_points

            drop_sealed_points(self.run, self.plan, self._source.sealed)

    # ── why to stop
    def _must_stop(self) -> str | None:
        if self._over is not None:
            return self._over
        if requests.stop_requested(self.run):
            return "cancelled"
        if breaker.why_broken(self.run) is not None:
            return "circuit breaker"
        signal = self._ending()
        return None if signal is Signal.GO_ON else signal.name.lower().replace("_", " ")

    # ── others
    def _judge(self) -> Fates:
        return Fates(
            self.run, look(self.run), mine=self._record, keep_s=patience(self._preemption.keep_s)
        )

    def _prune_rule(self, queued: QueuedTrial) -> PruneRule | None:
        if self.plan.spec.strategy.pruner is None:
            return None
        from lars_sweep.study.prune import prune_rule

        return prune_rule(self.run, self.plan, queued)


def _nothing_done(status: Literal["pruned", "failed"], cause: str) -> TrialResult:
    return TrialResult(
        status=status,
        cause=cause,
        steps_done=0,
        lr_peak=0.0,
        lr_integral=0.0,
        chance=0.0,
    )


def work(order: WorkOrder, *, job_id: str, place: Place | None = None) -> str:
    """Be one rank of a worker until work or time is over; returns why it ended.

    Rank 0 takes the trials; the others take part in each until it dismisses them.

    Raises:
        RunError: the run directory cannot be used (gone, full, of another version).
    """
    place = place or Place()
    ending = JobEnd(order.time_limit_s, notice_s=order.preemption.notice_s)
    run = open_run(order.run)
    plan = load_plan(run)
    code.use(run, plan.model_sources, order.import_path)
    name = plan.spec.data.name
    if order.stage is not None and (source := original(order.data_dir, name)) is not None:
        data = staged(source, order.stage, name, plan.facts.content_id)
        order = replace(order, data_dir=data)
    wanted = plan.spec.noise_scale
    trainer = make_trainer(run.trainer, order, None if wanted is None else wanted.plan)
    ending.listen()
    if order.executor == "slurm":
        Watchdog(run, f"{job_id}-{place.tag}", place.restarts).start()
    try:
        if not trainer.leads:
            trainer.follow(ending)
            reason = "dismissed"
        elif order.canary:
            reason = sing(run, trainer, job_id)
        else:
            worker = WorkerProcess(
                run,
                trainer,
                ending,
                order.executor,
                job_id,
                place=place,
                order=order,
            )
            reason = worker.work()
    except WorldLost:
        logger.exception("the world broke")
        os._exit(exits.LOST)  # leaving it in order would wait for the lost rank
    finally:
        trainer.close()
    logger.info("worker ended: %s", reason)
    return reason
