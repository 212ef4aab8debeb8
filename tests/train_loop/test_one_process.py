"""Interruptions, checkpoints, divergence and signals in a world of one process."""

from __future__ import annotations

import dataclasses
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

from lars_sweep.errors import DataError, TrainError
from lars_sweep.spec.trainer import Signal
from lars_sweep.train import TorchTrainer
from lars_sweep.train.checkpoint import checkpoints


@pytest.fixture(scope="module")
def trainer() -> TorchTrainer:
    return TorchTrainer(device="cpu", threads=1, checkpoint_every_s=0)


def test_a_trial_runs_to_its_end_and_measures_what_it_should(trainer: TorchTrainer) -> None:
    trial, control = tiny_trial(), ScriptedControl()
    result = trainer.train(trial, control)
    assert (result.status, result.steps_done, result.chance) == ("ok", 12, 10.0)
    assert [row.step for row in result.evaluations] == [4, 8, 12]
    assert list(result.evaluations) == control.evaluations
    assert control.steps == list(range(1, 13))
    assert [row.test_accuracy is None for row in result.evaluations] == [True, True, False]
    assert all(row.val_accuracy is not None for row in result.evaluations)
    names = {row.layer for row in result.layers}
    assert {"conv1.weight", "fc8.bias"} <= names
    assert len(result.layers) == 3 * len(names)


def test_layer_rows_satisfy_algorithm_1(trainer: TorchTrainer) -> None:
    trial = tiny_trial(momentum=0.0)
    for row in trainer.train(trial, ScriptedControl()).layers:
        if row.weight_norm == 0:
            continue
        decay = trial.weight_decay * row.weight_norm
        local = trial.trust_coefficient * row.weight_norm / (row.gradient_norm + decay)
        assert row.local_lr == pytest.approx(local, rel=1e-5)
        # Without momentum v = γλ(g + βw), and ‖g + βw‖ lies within βw of ‖g‖.
        assert row.update_ratio * row.weight_norm == pytest.approx(
            row.effective_lr * row.gradient_norm, abs=1.01 * row.effective_lr * decay + 1e-7
        )


def test_paper_protocol_trains_on_all_and_always_reports_test(trainer: TorchTrainer) -> None:
    trial = tiny_trial(protocol="paper", val_share=0.0)
    rows = trainer.train(trial, ScriptedControl()).evaluations
    assert trial.samples == 240
    assert all(row.val_accuracy is None and row.test_accuracy is not None for row in rows)


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


def test_another_seed_is_another_trial(trainer: TorchTrainer, tmp_path: Path) -> None:
    one, other = (
        run_traced(trainer, tiny_trial(seed=seed), tmp_path / str(seed)) for seed in (1, 2)
    )
    assert disagreement(one, other) > 0.01


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


def test_data_of_another_content_are_refused(trainer: TorchTrainer) -> None:
    with pytest.raises(DataError, match="planned on content 0000"):
        trainer.train(dataclasses.replace(tiny_trial(), data_id="0000"), ScriptedControl())


def test_precision_that_the_device_lacks_is_refused(trainer: TorchTrainer) -> None:
    with pytest.raises(TrainError, match=r"'tf32' is not available on cpu; allowed here: fp32"):
        trainer.train(tiny_trial(precision="tf32"), ScriptedControl())
