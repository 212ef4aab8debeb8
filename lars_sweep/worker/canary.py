"""The canary: two steps of the largest setting, before any worker is released."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.records import read_if_whole
from lars_sweep.spec.trainer import Evaluation, Signal, Trainer
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import Plan, load_plan

logger = logging.getLogger(__name__)

STEPS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Song:
    """How a canary fared."""

    failed: str
    """What ended it; empty if it went through."""
    job_id: str
    at: float


class TwoSteps:
    """Implements `lars_sweep.spec.trainer.Control`: stops early and keeps nothing."""

    checkpoint_dir: Path | None = None

    def at_step(self, steps_done: int) -> Signal:
        return Signal.GO_ON if steps_done < STEPS else Signal.STOP

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        return Signal.GO_ON


def sing(run: RunDir, trainer: Trainer, job_id: str) -> str:
    """Train the two steps; whatever goes wrong is recorded and raised.

    SLURM releases the workers if this job succeeds, and drops them if it does not.
    """
    if (failed := verdict(run)) is not None and not failed:
        return "the canary sang before"
    try:
        trainer.train(largest_trial(load_plan(run)), TwoSteps())
    except Exception as error:
        _record(run, job_id, f"{type(error).__name__}: {error}")
        raise
    _record(run, job_id, "")
    return "the canary sings"


def verdict(run: RunDir) -> str | None:
    """Empty if the canary went through, else what ended it; None if none has tried."""
    song = read_if_whole(run.path / "canary.json", _Song, instead="the next launch sends another")
    return None if song is None else song.failed


def forget(run: RunDir) -> None:
    """Let the next launch try again."""
    (run.path / "canary.json").unlink(missing_ok=True)


def largest_trial(plan: Plan) -> TrialSpec:
    """The trial with the largest global batch, of those the one with the most steps."""
    if plan.is_adaptive:
        trials = [
            stratum.trial(corner, plan.seeds[0])
            for stratum in plan.strata.values()
            for corner in stratum.corners()
        ]
    else:
        trials = [plan.trial(queued) for queued in plan.queue if queued.seed == plan.seeds[0]]
    return max(trials, key=lambda trial: (trial.global_batch, trial.steps))


def _record(run: RunDir, job_id: str, failed: str) -> None:
    song = _Song(failed=failed, job_id=job_id, at=time.time())
    publish.replace(run.path / "canary.json", publish.to_json_bytes(asdict(song)))
