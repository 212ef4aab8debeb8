"""Each way a trial can end, reached by a real run."""

from __future__ import annotations

import pytest
from loop_kit import ScriptedControl, sgd, tiny_trial

from lars_sweep.train import TorchTrainer


def test_nonfinite_is_seen_at_its_step(trainer: TorchTrainer) -> None:
    trial = tiny_trial(**sgd(base_lr=1e30, warmup_steps=0))
    result = trainer.train(trial, ScriptedControl())
    assert (result.status, result.cause) == ("diverged", "nonfinite")
    assert 1 <= result.steps_done <= 4


@pytest.mark.parametrize(
    ("model", "base_lr", "status", "cause"),
    [
        # A finite loss far above its beginning.
        ("small_alexnet", 100.0, "diverged", "exploded"),
        # All units of a layer off: constant logits, and a gradient in the last bias only.
        ("small_alexnet", 3.0, "diverged", "dead"),
        # AlexNet's plateau: at chance with a live gradient. An outcome, never stopped.
        ("small_alexnet", 1e-4, "ok", "untrained"),
        ("small_alexnet_bn", 0.1, "ok", None),
    ],
)
def test_ends_are_told_apart(
    trainer: TorchTrainer, model: str, base_lr: float, status: str, cause: str | None
) -> None:
    trial = tiny_trial(
        steps=30,
        evaluations=30,
        model=model,
        schedule="constant",
        **sgd(base_lr=base_lr, warmup_steps=2),
    )
    result = trainer.train(trial, ScriptedControl())
    assert (result.status, result.cause) == (status, cause)
    if cause == "exploded":
        first, *_, last = [row.train_loss for row in result.evaluations]
        assert last > 2 * first
    if status == "diverged":
        assert result.steps_done < 30
        assert result.evaluations[-1].step == result.steps_done
