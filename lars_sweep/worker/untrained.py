"""What the stand-ins for training share: nothing is computed, so no rank takes part in anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Literal

from lars_sweep.spec.trainer import Evaluation, Signal
from lars_sweep.spec.trial import TrialSpec


class Untrained:
    """Ranks and their end, for `lars_sweep.spec.trainer.Trainer`."""

    @property
    def leads(self) -> bool:
        alone = os.environ.get("SLURM_STEP_NUM_TASKS", "1") == "1"
        return alone or os.environ["SLURM_PROCID"] == "0"

    def follow(self, poll: Callable[[], Signal]) -> None:
        """Nothing to take part in: the other ranks only hold their place."""

    def close(self) -> None:
        """Nothing to close."""


def ended_by(signal: Signal) -> Literal["ok", "pruned", "interrupted"]:
    """The status of an attempt whose last step or evaluation was answered so."""
    if signal is Signal.GO_ON:
        return "ok"
    return "pruned" if signal is Signal.PRUNE else "interrupted"


def stated(trial: TrialSpec, step: int, accuracy: float) -> Evaluation:
    """An evaluation with this accuracy, percent, on every split; nothing else was measured."""
    return Evaluation(
        step=step,
        epochs=step * trial.global_batch / trial.samples,
        lr=trial.base_lr,
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
