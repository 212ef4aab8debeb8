"""Checkpoints, resumption and signals in a world of one process."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from loop_kit import (
    ScriptedControl,
    disagreement,
    run_interrupted,
    run_traced,
    same_bits,
    sgd,
    tiny_trial,
    trace,
)

from lars_sweep.errors import TrainError
from lars_sweep.spec.trainer import Signal
from lars_sweep.train import TorchTrainer
from lars_sweep.train.checkpoint import checkpoints


@pytest.mark.parametrize("bn_eval", ["recompute", "ema"])
@pytest.mark.parametrize("granularity", ["layer", "frozen"])
def test_interrupted_trial_ends_with_the_same_bits(
    trainer: TorchTrainer, tmp_path: Path, bn_eval: str, granularity: str
) -> None:
    trial = tiny_trial(bn_eval=bn_eval, granularity=granularity)
    undisturbed = run_traced(trainer, trial, tmp_path / "one")
    resumed, starts = run_interrupted(trainer, trial, tmp_path / "two", (1, 4, 7, 11))
    assert starts == [0, 1, 4, 7, 11]
    assert same_bits(undisturbed, resumed)
    assert disagreement(undisturbed, resumed) == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lamb"])
def test_every_optimizer_resumes_with_the_same_bits(
    trainer: TorchTrainer, tmp_path: Path, optimizer: str
) -> None:
    trial = tiny_trial(steps=6, **(sgd(base_lr=0.01) | {"optimizer": optimizer}))
    undisturbed = run_traced(trainer, trial, tmp_path / "one")
    resumed, _ = run_interrupted(trainer, trial, tmp_path / "two", (2, 5))
    assert same_bits(undisturbed, resumed)


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    trainer: TorchTrainer, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    trial = tiny_trial()
    trainer.train(trial, ScriptedControl(tmp_path, at_steps={7: Signal.PREEMPTED}))
    newest, before = checkpoints(tmp_path)
    assert (newest.name, before.name) == ("step-000000007.pt", "step-000000006.pt")
    data = bytearray(newest.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    newest.write_bytes(data[: {"truncate": 1000, "flip": None, "empty": 0}[damage]])
    with caplog.at_level(logging.WARNING):
        result = trainer.train(trial, ScriptedControl(tmp_path))
    assert result.start_step == 6
    assert str(newest) in caplog.text
    undisturbed = run_traced(trainer, trial, tmp_path / "undisturbed")
    assert same_bits(trace(result, trial, tmp_path), undisturbed)


def test_a_checkpoint_of_another_trial_is_refused(trainer: TorchTrainer, tmp_path: Path) -> None:
    trial, other = tiny_trial(), tiny_trial(seed=6)
    trainer.train(trial, ScriptedControl(tmp_path, at_steps={3: Signal.PREEMPTED}))
    with pytest.raises(TrainError, match=f"belongs to trial {trial.trial_id}"):
        trainer.train(other, ScriptedControl(tmp_path))


@pytest.mark.parametrize("signal", [Signal.PREEMPTED, Signal.OUT_OF_TIME, Signal.STOP])
def test_signals_interrupt_and_checkpoint_where_the_trial_goes_on(
    tmp_path: Path, signal: Signal
) -> None:
    control = ScriptedControl(tmp_path, at_steps={5: signal})
    result = TorchTrainer(device="cpu", threads=1).train(tiny_trial(), control)
    assert (result.status, result.cause, result.signal) == ("interrupted", signal.name, signal)
    assert result.steps_done == 5
    assert len(checkpoints(tmp_path)) == (0 if signal == Signal.STOP else 1)


def test_prune_keeps_what_was_measured(trainer: TorchTrainer) -> None:
    control = ScriptedControl(at_evaluations={8: Signal.PRUNE})
    result = trainer.train(tiny_trial(), control)
    assert (result.status, result.steps_done) == ("pruned", 8)
    assert [row.step for row in result.evaluations] == [4, 8]


def test_a_signal_at_the_last_step_comes_too_late(trainer: TorchTrainer) -> None:
    result = trainer.train(tiny_trial(), ScriptedControl(at_steps={12: Signal.PREEMPTED}))
    assert result.status == "ok"


def test_a_disk_that_takes_no_checkpoint_does_not_end_the_trial(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = TorchTrainer(device="cpu", threads=1, checkpoint_every_s=0)
    result = trainer.train(tiny_trial(), ScriptedControl(tmp_path / "missing"))
    assert result.status == "ok"
    assert "no checkpoint of step 1:" in caplog.text
