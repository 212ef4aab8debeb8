"""A trainer that takes time and keeps checkpoints, and computes nothing but a running digest.

For trying the control plane out where torch would only cost: on a development cluster, or on a new
site before the first real sweep. Each step extends a digest, accuracies are read off it, so a step
left out, done twice or taken from another trial's checkpoint changes the result.
"""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lars_sweep.rundir import publish
from lars_sweep.rundir.records import read_if_whole
from lars_sweep.spec.trainer import Control, Evaluation, Hardware, Signal, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.worker.untrained import Untrained, ended_by, stated

STEP_S = 0.05


@dataclass(slots=True)
class _State:
    """What a checkpoint holds."""

    trial_id: str
    step: int = 0
    digest: str = ""
    evaluations: list[Evaluation] = field(default_factory=list)

    def advance(self) -> None:
        self.step += 1
        self.digest = hashlib.sha256(
            f"{self.trial_id}{self.digest}{self.step}".encode()
        ).hexdigest()


class PacedTrainer(Untrained):
    """See `lars_sweep.spec.trainer.Trainer`.

    Args:
        step_s: seconds of each step.
        checkpoint_every_s: seconds between checkpoints.
    """

    def __init__(self, *, step_s: float | None = None, checkpoint_every_s: float = 30.0) -> None:
        self._step_s = step_s or float(os.environ.get("LARS_SWEEP_STEP_S", STEP_S))
        self._checkpoint_every_s = checkpoint_every_s

    @property
    def hardware(self) -> Hardware:
        return Hardware(device="none (paced trainer)", devices=1, versions="paced trainer")

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        """Sleep through the steps; see `lars_sweep.spec.trainer.Trainer`."""
        state = _newest(control.checkpoint_dir, trial.trial_id)
        start_step, saved_at = state.step, time.monotonic()
        due = frozenset(trial.evaluation_steps)
        signal = Signal.GO_ON
        while state.step < trial.steps and signal is Signal.GO_ON:
            time.sleep(self._step_s)
            state.advance()
            signal = control.at_step(state.step)
            if state.step in due:
                accuracy = int(state.digest[:8], 16) % 10_000 / 100
                state.evaluations.append(stated(trial, state.step, accuracy))
                signal = max(signal, control.at_evaluation(state.evaluations[-1]))
            interrupted = signal in (Signal.PREEMPTED, Signal.OUT_OF_TIME)
            if interrupted or time.monotonic() - saved_at >= self._checkpoint_every_s:
                _save(control.checkpoint_dir, state)
                saved_at = time.monotonic()
        signal = Signal.GO_ON if state.step >= trial.steps else signal
        return TrialResult(
            status=ended_by(signal),
            signal=signal,
            start_step=start_step,
            steps_done=state.step,
            lr_peak=trial.base_lr,
            lr_integral=trial.base_lr * state.step,
            chance=10.0,
            evaluations=tuple(state.evaluations),
        )


def _newest(directory: Path | None, trial_id: str) -> _State:
    if directory is None:
        return _State(trial_id)
    saved = read_if_whole(directory / "state.json", _State, instead="the trial begins again")
    return saved or _State(trial_id)


def _save(directory: Path | None, state: _State) -> None:
    if directory is not None:
        publish.replace(directory / "state.json", publish.to_json_bytes(asdict(state)))
