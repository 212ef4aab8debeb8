"""Noise scale at weights that stand still: known truths, and a trial that does not notice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from loop_kit import ScriptedControl, disagreement, run_traced, same_bits, tiny_trial
from torch import Tensor

from lars_sweep.errors import TrainError
from lars_sweep.fit.answers import Kind
from lars_sweep.spec.trainer import NoiseNorms, Signal
from lars_sweep.train import TorchTrainer
from lars_sweep.train.noise_scale import gradient_squares
from lars_sweep.worker.noise_scale import noise_scales


def quadratic_rows(micro: int, count: int, measurements: int) -> list[NoiseNorms]:
    """Of the loss ½|w − x|² with x ~ N(0, 4·1): G = w, tr Σ = 4·d."""
    w = torch.full((50,), 0.5, dtype=torch.float64, requires_grad=True)
    generator = torch.Generator().manual_seed(3)

    def loss() -> Tensor:
        x = 2 * torch.randn(micro, 50, dtype=torch.float64, generator=generator)
        return 0.5 * (w - x).square().sum(1).mean()

    rows = []
    for _ in range(measurements):
        s, big = gradient_squares((loss() for _ in range(count)), [w])
        rows.append(
            NoiseNorms(
                step=7, micro_batch=micro, micro_batches=count, micro_square=s, mean_square=big
            )
        )
    assert w.grad is None
    return rows


@pytest.mark.parametrize(("micro", "count"), [(4, 8), (16, 2)])
def test_a_quadratic_gives_its_noise_scale(micro: int, count: int) -> None:
    answer = noise_scales(quadratic_rows(micro, count, 200))[7]
    assert answer.kind is Kind.BOUNDED
    truth = 4 * 50 / (50 * 0.25)
    assert truth in answer.interval
    assert answer.value == pytest.approx(truth, rel=0.15)


def test_squares_are_those_of_the_micro_batches() -> None:
    x = torch.randn(6, 3, dtype=torch.float64)
    w = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    untouched = torch.zeros(2, requires_grad=True)
    s, big = gradient_squares((w @ row for row in x), [w, untouched])
    assert s == pytest.approx(float(x.square().sum(1).mean()), rel=1e-12)
    assert big == pytest.approx(float(x.mean(0).square().sum()), rel=1e-12)


def test_a_diverged_trial_has_no_noise_scale() -> None:
    rows = [replace(row, micro_square=float("nan")) for row in quadratic_rows(2, 2, 30)]
    assert noise_scales(rows) == {}


def test_a_failing_loss_is_raised_as_it_was() -> None:
    def losses():
        raise TrainError("no such sample")
        yield

    with pytest.raises(TrainError, match="no such sample"):
        gradient_squares(losses(), [torch.zeros(2, requires_grad=True)])


@pytest.mark.parametrize("bn_eval", ["recompute", "ema"])
def test_a_measured_trial_is_the_same_trial(tmp_path: Path, bn_eval: str) -> None:
    trial = tiny_trial(steps=4, evaluations=2, bn_eval=bn_eval)
    settings = {"device": "cpu", "threads": 1, "checkpoint_every_s": 0}
    plain = run_traced(TorchTrainer(**settings), trial, tmp_path / "plain")
    measured = run_traced(TorchTrainer(**settings, noise_measurements=2), trial, tmp_path / "noisy")
    assert disagreement(plain, measured) == 0
    assert same_bits(plain, measured)


def test_resumed_trials_keep_their_rows(tmp_path: Path) -> None:
    trainer = TorchTrainer(device="cpu", threads=1, noise_measurements=2)
    trial = tiny_trial(steps=4, evaluations=2)
    trainer.train(trial, ScriptedControl(tmp_path, at_steps={3: Signal.PREEMPTED}))
    resumed = trainer.train(trial, ScriptedControl(tmp_path))
    assert resumed.start_step == 3
    assert resumed.noise == trainer.train(trial, ScriptedControl()).noise
    assert [(row.step, row.micro_batch, row.micro_batches) for row in resumed.noise] == [
        (2, 6, 7),
        (2, 6, 7),
        (4, 6, 7),
        (4, 6, 7),
    ]
