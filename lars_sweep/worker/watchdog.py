"""Ends a world that takes no steps: a hung collective, a dead file system, a stopped rank.

Every rank watches the heartbeat that rank 0 writes from the training loop, so it does not matter
which of them hangs. The first to lose patience says why in the run directory and exits; srun's
``--kill-on-bad-exit`` ends the others, also one that is stopped and could not end itself.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import statistics
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from lars_sweep.rundir import claims, workers
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.patience import BEGIN_S, HANG_S, patience
from lars_sweep.rundir.workers import Worker
from lars_sweep.worker import exits

logger = logging.getLogger(__name__)

STEPS_OF_PATIENCE = 10
LOOK_S = 5.0


@dataclass(slots=True)
class StepPatience:
    """How long a trial may be silent, from how fast it was."""

    _step_s: deque[float] = field(default_factory=lambda: deque(maxlen=101))

    def note(self, step_s: float) -> None:
        """Seconds that a step took."""
        self._step_s.append(step_s)

    @property
    def between_steps(self) -> float:
        if not self._step_s:
            return self.at_rest
        return max(STEPS_OF_PATIENCE * statistics.median(self._step_s), patience(HANG_S))

    @property
    def at_rest(self) -> float:
        """Before the first step and in an evaluation."""
        return max(patience(BEGIN_S), patience(HANG_S))


class Watchdog(threading.Thread):
    """Watches the worker that this process is a rank of.

    Args:
        run: the run directory.
        beginning: of the worker's id: its job's, and more where a job is several workers.
        restarts: which run of that job this is.
    """

    def __init__(self, run: RunDir, beginning: str, restarts: int) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._run, self._beginning, self._restarts = run, beginning, restarts
        self._last: Worker | None = None
        self._since = time.monotonic()

    def run(self) -> None:
        """Look until the process ends."""
        while True:
            time.sleep(min(LOOK_S, patience(HANG_S) / 5))
            self._look()

    def _look(self) -> None:
        try:
            mine = workers.find(self._run.workers, self._beginning, self._restarts)
        except Exception as error:  # the file system's trouble is the trainer's to report
            logger.warning("watchdog: %s", error)
            return
        now = time.monotonic()
        if mine != self._last:
            self._last, self._since = mine, now
        if mine is None or mine.state != "running" or mine.patience_s is None:
            return
        if now - self._since > mine.patience_s:
            self._end(mine, now - self._since)

    def _end(self, worker: Worker, silent_s: float) -> None:
        reason = (
            f"no step for {silent_s:.0f} s at step {worker.steps_done} of {worker.steps} "
            f"(allowed {worker.patience_s:.0f} s)"
        )
        logger.error("watchdog: %s; ending this worker", reason)
        faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        try:
            assert worker.trial_id is not None
            claim = claims.read_claim(self._run.claims, worker.trial_id, worker.attempt)
            if claim is not None and claim.worker_id == worker.worker_id:
                claims.release(
                    self._run.claims, claim, reason, cause=Cause.HANG, nodes=worker.nodes
                )
        finally:
            os._exit(exits.HANG)  # the main thread may be stuck for ever
