"""A trainer that trains nothing and says so: what remains is the cost of the control plane."""

from __future__ import annotations

from lars_sweep.spec.trainer import Control, Hardware, Signal, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.worker.untrained import Untrained, ended_by, stated


class NoopTrainer(Untrained):
    """See `lars_sweep.spec.trainer.Trainer`.

    Its accuracies are a hash of the trial, so that two runs of one trial agree.
    """

    @property
    def hardware(self) -> Hardware:
        return Hardware(device="none (no-op trainer)", devices=1, versions="no-op trainer")

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        """One evaluation, no steps in between; see `lars_sweep.spec.trainer.Trainer`."""
        signal = control.at_step(trial.steps)
        evaluation = stated(trial, trial.steps, int(trial.trial_id, 16) % 10_000 / 100)
        if signal is Signal.GO_ON:
            signal = control.at_evaluation(evaluation)
        return TrialResult(
            status=ended_by(signal),
            signal=signal,
            steps_done=trial.steps,
            lr_peak=trial.base_lr,
            lr_integral=0.0,
            chance=0.0,
            evaluations=(evaluation,),
        )
