"""The worker's side of a trial: heartbeat, evaluations, and why a trial must stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from lars_sweep.rundir import attempts, claims, requests, workers
from lars_sweep.rundir.claims import Claim
from lars_sweep.rundir.failpoints import failpoint
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker
from lars_sweep.spec.trainer import Evaluation, Signal
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.worker.finite import finite
from lars_sweep.worker.watchdog import StepPatience

BEAT_S = 1.0
"""Shortest time between two heartbeats, and between two looks at the user's requests."""


PruneRule = Callable[[Mapping[int, float]], bool]
"""From a trial's evaluations so far (number → accuracy) to whether it should stop."""


class TrialControl:
    """Implements `lars_sweep.spec.trainer.Control` for one attempt."""

    def __init__(
        self,
        run: RunDir,
        trial: TrialSpec,
        claim: Claim,
        worker: Worker,
        *,
        interrupted: Callable[[], Signal],
        prune: PruneRule | None,
    ) -> None:
        """Begin an attempt.

        Args:
            run: the run directory.
            trial: what runs.
            claim: this attempt.
            worker: the worker's record so far.
            interrupted: PREEMPTED or OUT_OF_TIME if the job is about to end.
            prune: the pruner's verdict; None: no pruner.
        """
        self._run = run
        self._trial = trial
        self._claim = claim
        self._interrupted = interrupted
        self._prune = prune
        self._log = run.attempt_log(claim.trial_id, claim.attempt)
        self._last_beat = 0.0
        self._last_steps: tuple[float, int] | None = None
        self._evaluations = frozenset(trial.evaluation_steps)
        self._patience = StepPatience()
        self.worker = replace(
            worker,
            state="running",
            trial_id=claim.trial_id,
            attempt=claim.attempt,
            steps_done=0,
            steps=trial.steps,
            patience_s=self._patience.at_rest,
        )
        self.stop_reason: str | None = None
        if claim.attempt > 1:
            attempts.carry_over(run, claim.trial_id, claim.attempt)

    @property
    def checkpoint_dir(self) -> Path:
        return self._run.checkpoint_dir(self._claim.trial_id, self._claim.attempt)

    def at_step(self, steps_done: int) -> Signal:
        failpoint("mid-epoch")
        signal = self._interrupted()
        if signal is not Signal.GO_ON:
            self.stop_reason = signal.name.lower()
            return signal
        now = time.monotonic()
        measures = steps_done in self._evaluations
        # Asked again there, between measurements of the noise, it says so no more often than usual.
        arrives = measures and steps_done != self.worker.steps_done
        if now - self._last_beat < BEAT_S and not arrives:
            return Signal.GO_ON
        self._last_beat = now
        self._beat(steps_done, now, measures=measures)
        return self._requested()

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        attempts.append(self._log, finite(asdict(evaluation)))
        if self._prune is None:
            return Signal.GO_ON
        if self._prune(attempts.read_curve(self._log)):
            self.stop_reason = "pruner"
            return Signal.PRUNE
        return Signal.GO_ON

    def begin(self) -> None:
        """Say that the trial begins: reading data may take long before its first step."""
        self.worker = workers.beat(self._run.workers, self.worker)

    def _beat(self, steps_done: int, now: float, *, measures: bool) -> None:
        rate = self.worker.images_per_s
        if self._last_steps is not None and steps_done > self._last_steps[1]:
            then, steps_then = self._last_steps
            rate = (steps_done - steps_then) * self._trial.global_batch / (now - then)
            self._patience.note((now - then) / (steps_done - steps_then))
        self._last_steps = (now, steps_done)
        self.worker = workers.beat(
            self._run.workers,
            replace(
                self.worker,
                steps_done=steps_done,
                images_per_s=rate,
                patience_s=self._patience.at_rest if measures else self._patience.between_steps,
            ),
        )

    def _requested(self) -> Signal:
        """What others asked for meanwhile."""
        if claims.is_superseded(self._run.claims, self._claim):
            self.stop_reason = "superseded"
            return Signal.STOP
        if requests.stop_requested(self._run):
            self.stop_reason = "cancelled"
            return Signal.PREEMPTED  # checkpoint first: `resume` goes on from there
        if requests.prune_requested(self._run, self._claim.trial_id):
            self.stop_reason = "user"
            return Signal.PRUNE
        return Signal.GO_ON
