"""From a plan's trials to the designs whose power is simulated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from runkit import GRID, plan_of

from lars_sweep.fit import power_design
from lars_sweep.fit.power import PowerReport, SweepDesign, plan_power
from lars_sweep.fit.power_design import DesignPower, design_powers
from lars_sweep.fit.surface import AssumedSurface
from lars_sweep.spec.trial import TrialSpec

SWEEP = GRID.replace("[0.1, 0.2, 0.4]", "{ log = [0.01, 10], points = 7 }")


@pytest.fixture(autouse=True)
def few_repetitions(monkeypatch: pytest.MonkeyPatch) -> None:
    def few(design: SweepDesign, surface: AssumedSurface) -> PowerReport:
        return plan_power(design, surface, repetitions=8)

    monkeypatch.setattr(power_design, "plan_power", few)


def trials_of(directory: Path, text: str) -> list[TrialSpec]:
    plan = plan_of(directory, text)
    return [plan.trial(queued) for queued in plan.queue]


def powers(trials: list[TrialSpec]) -> tuple[DesignPower, ...]:
    return design_powers(trials, sigma=0.3, delta=0.5)


def test_the_design_is_the_sweeps_own(tmp_path: Path) -> None:
    (found,) = powers(trials_of(tmp_path, SWEEP))
    assert found.report is not None
    design = found.report.design
    assert {batch: len(lrs) for batch, lrs in design.lrs.items()} == {64: 7, 128: 7}
    assert (design.seeds, design.epochs, design.samples) == (2, 2, 1280)
    assert (design.sigma, design.delta, found.report.trials) == (0.3, 0.5, 28)
    assert found.report.surface.best_lr(128) == pytest.approx(0.01 * 1000**0.5)


def test_settings_are_designs_of_their_own_with_a_name_that_tells_them(tmp_path: Path) -> None:
    text = SWEEP.replace("epochs = 2", "epochs = [2, 4]\nmomentum = [0.8, 0.9]")
    names = [found.name for found in powers(trials_of(tmp_path, text))]
    assert len(set(names)) == 4
    assert "small_alexnet_bn sgd, 4 epochs, momentum 0.8" in names


def test_batches_with_few_learning_rates_are_named(tmp_path: Path) -> None:
    many = trials_of(tmp_path, SWEEP)
    few = [t for t in many if t.global_batch == 64 or t.base_lr > 1]
    (found,) = powers(few)
    assert found.skipped == (128,)
    assert found.report is not None
    assert list(found.report.design.lrs) == [64]
    (none,) = powers([t for t in many if t.base_lr > 1])
    assert (none.skipped, none.report) == ((64, 128), None)


def test_a_lost_seed_counts_for_the_whole_design(tmp_path: Path) -> None:
    (found,) = powers(trials_of(tmp_path, SWEEP)[1:])
    assert found.report is not None
    assert found.report.design.seeds == 1


def test_lars_and_sgd_are_assumed_apart(tmp_path: Path) -> None:
    sgd = trials_of(tmp_path, SWEEP)
    lars = [replace(t, optimizer="lars", trust_coefficient=0.001) for t in sgd]
    reports = [found.report for found in powers([*sgd, *lars])]
    flats = [report.surface.flat for report in reports if report is not None]
    assert flats == [0.36, 0.76]
