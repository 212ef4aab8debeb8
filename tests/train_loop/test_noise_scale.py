"""Noise scale at weights that stand still: known truths, and a trial that does not notice."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from loop_kit import (
    ScriptedControl,
    StopsInMeasurement,
    disagreement,
    run_traced,
    same_bits,
    tiny_trial,
)
from torch import Tensor

from lars_sweep.errors import TrainError
from lars_sweep.fit.answers import Kind
from lars_sweep.spec.noise import NoisePlan
from lars_sweep.spec.trainer import NoiseNorms, Signal
from lars_sweep.train import TorchTrainer
from lars_sweep.train.noise_scale import NoiseMeter, gradient_squares
from lars_sweep.worker.noise_scale import noise_scales

TWICE = NoisePlan(measurements=2)


def quadratic_rows(micro: int, count: int, measurements: int) -> list[NoiseNorms]:
    """Of the loss ½|w − x|² with x ~ N(0, 4·1): G = w, tr Σ = 4·d."""
    w = torch.full((50,), 0.5, dtype=torch.float64, requires_grad=True)
    generator = torch.Generator().manual_seed(3)

    def loss() -> Tensor:
        x = 2 * torch.randn(micro, 50, dtype=torch.float64, generator=generator)
        return 0.5 * (w - x).square().sum(1).mean()

    rows = []
    for number in range(measurements):
        s, big = gradient_squares((loss() for _ in range(count)), [w])
        rows.append(
            NoiseNorms(
                step=7, measurement=number, micro_batch=micro, micro_batches=count,
                micro_square=s, mean_square=big,
            )
        )  # fmt: skip
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
    measured = run_traced(TorchTrainer(**settings, noise=TWICE), trial, tmp_path / "noisy")
    assert disagreement(plain, measured) == 0
    assert same_bits(plain, measured)


def test_resumed_trials_keep_their_rows(tmp_path: Path) -> None:
    trainer = TorchTrainer(device="cpu", threads=1, noise=TWICE)
    trial = tiny_trial(steps=4, evaluations=2)
    trainer.train(trial, ScriptedControl(tmp_path, at_steps={3: Signal.PREEMPTED}))
    resumed = trainer.train(trial, ScriptedControl(tmp_path))
    assert resumed.start_step == 3
    assert resumed.noise == trainer.train(trial, ScriptedControl()).noise
    assert [(row.step, row.measurement) for row in resumed.noise] == [
        (2, 0),
        (2, 1),
        (4, 0),
        (4, 1),
    ]
    assert {(row.micro_batch, row.micro_batches) for row in resumed.noise} == {(6, 7)}


@pytest.mark.parametrize("evaluations", [1, 2])
@pytest.mark.parametrize("bn_eval", ["recompute", "ema"])
def test_a_measurement_cut_short_goes_on_where_it_stopped(
    tmp_path: Path, evaluations: int, bn_eval: str
) -> None:
    """At the first of two checkpoints, and at the last step, where nothing else is left to do."""
    trainer = TorchTrainer(device="cpu", threads=1, noise=NoisePlan(measurements=3))
    trial = tiny_trial(steps=4, evaluations=evaluations, bn_eval=bn_eval)
    first = trainer.train(trial, StopsInMeasurement(1, tmp_path))
    assert (first.status, first.steps_done, len(first.noise)) == ("interrupted", 4 / evaluations, 1)
    again = ScriptedControl(tmp_path)
    resumed = trainer.train(trial, again)
    undisturbed = trainer.train(trial, ScriptedControl())
    assert resumed.status == "ok"
    assert resumed.noise == undisturbed.noise
    assert [e.step for e in again.evaluations] == [4] * (evaluations - 1), "none a second time"


def test_a_trial_that_is_through_is_measured_to_the_end_and_not_pruned() -> None:
    trainer = TorchTrainer(device="cpu", threads=1, noise=TWICE)
    trial = tiny_trial(steps=4, evaluations=1)
    through = trainer.train(trial, StopsInMeasurement(1, signal=Signal.PRUNE))
    assert (through.status, len(through.noise)) == ("ok", 2)
    trial = tiny_trial(steps=4, evaluations=2)
    before = trainer.train(trial, StopsInMeasurement(1, signal=Signal.PRUNE))
    assert (before.status, before.steps_done, len(before.noise)) == ("pruned", 2, 1)


def test_measuring_takes_no_training_time(monkeypatch: pytest.MonkeyPatch) -> None:
    hour, clock, measure = 3600.0, time.perf_counter, NoiseMeter.measure
    passed = 0.0

    def slowly(meter: NoiseMeter, step: int, number: int) -> NoiseNorms:
        nonlocal passed
        passed += hour
        return measure(meter, step, number)

    monkeypatch.setattr(time, "perf_counter", lambda: clock() + passed)
    monkeypatch.setattr(NoiseMeter, "measure", slowly)
    trainer = TorchTrainer(device="cpu", threads=1, noise=TWICE)
    result = trainer.train(tiny_trial(steps=4, evaluations=2), ScriptedControl())
    assert passed == 4 * hour
    last = result.evaluations[-1]
    assert last.wall_s < hour
    assert last.images_per_s > 2 * 42 / hour


def test_the_plan_spreads_over_the_evaluations_and_knows_its_cost() -> None:
    trial = tiny_trial(steps=20, evaluations=10)
    assert NoisePlan(measurements=5).steps(trial) == trial.evaluation_steps
    assert NoisePlan(measurements=5, evaluations=3).steps(trial) == (8, 14, 20)
    assert NoisePlan(measurements=5, evaluations=99).steps(trial) == trial.evaluation_steps
    few = NoisePlan(measurements=5, evaluations=1)
    assert few.steps(trial) == (20,)
    assert few.images(trial) == 5 * 42
    assert few.images(tiny_trial(steps=20, global_batch=6)) == 5 * 12, "one atom has no spread"
    measured = TorchTrainer(device="cpu", threads=1, noise=few).train(trial, ScriptedControl())
    assert sum(row.micro_batch * row.micro_batches for row in measured.noise) == few.images(trial)
