"""The trainers a worker can run, by the name in the run's plan."""

from __future__ import annotations

from collections.abc import Callable

from lars_sweep.errors import RunError
from lars_sweep.spec.trainer import Control, Evaluation, Hardware, Signal, Trainer, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.worker.order import WorkOrder
from lars_sweep.worker.paced import PacedTrainer


def make_trainer(name: str, order: WorkOrder) -> Trainer:
    """The trainer called ``name``: torch, analytic, noop or paced.

    Raises:
        RunError: there is no such trainer.
    """
    if name == "torch":
        from lars_sweep.train import TorchTrainer

        return TorchTrainer(
            data_dir=order.data_dir,
            threads=order.threads,
            checkpoint_every_s=order.checkpoint_every_s,
        )
    if name == "analytic":
        from lars_sweep.worker.analytic import AnalyticTrainer

        return AnalyticTrainer()
    if name == "noop":
        return NoopTrainer()
    if name == "paced":
        return PacedTrainer(checkpoint_every_s=order.checkpoint_every_s)
    raise RunError(f"no trainer called {name!r}; allowed: torch, analytic, noop, paced")


class NoopTrainer:
    """Trains nothing and says so: what remains is the cost of the control plane.

    Its accuracies are a hash of the trial, so that two runs of one trial agree.
    """

    @property
    def hardware(self) -> Hardware:
        return Hardware(device="none (no-op trainer)", devices=1, versions="no-op trainer")

    @property
    def leads(self) -> bool:
        return True

    def follow(self, poll: Callable[[], Signal]) -> None:
        """Never called: a world of one has no followers."""

    def close(self) -> None:
        """Nothing to close."""

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        """One evaluation, no steps in between; see `lars_sweep.spec.trainer.Trainer`."""
        signal = control.at_step(trial.steps)
        accuracy = int(trial.trial_id, 16) % 10_000 / 100
        evaluation = Evaluation(
            step=trial.steps,
            epochs=trial.epochs,
            lr=0.0,
            train_loss=0.0,
            train_accuracy=accuracy,
            val_loss=0.0,
            val_accuracy=accuracy,
            val_top5=accuracy,
            test_loss=0.0,
            test_accuracy=accuracy,
            test_top5=accuracy,
            gradient_norm=0.0,
            images_per_s=0.0,
            data_wait=0.0,
            memory_gib=0.0,
            wall_s=0.0,
        )
        if signal is Signal.GO_ON:
            signal = control.at_evaluation(evaluation)
        ended = {Signal.GO_ON: "ok", Signal.PRUNE: "pruned"}.get(signal, "interrupted")
        return TrialResult(
            status=ended,  # type: ignore[arg-type]
            signal=signal,
            steps_done=trial.steps,
            lr_peak=trial.base_lr,
            lr_integral=0.0,
            chance=0.0,
            evaluations=(evaluation,),
        )
