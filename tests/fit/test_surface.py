"""The assumed surface: what the paper's tables say of it, and what it promises elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lars_sweep.fit.rows import Rows
from lars_sweep.fit.surface import AssumedSurface, assumed_surface

IMAGENET = 1_281_167
TABLES = {
    "alexnet": {3: "", 5: ""},
    "alexnet_bn": {3: "", 5: ""},
    "resnet50": {4: "min"},
    "googlenet": {6: ""},
}


def on_imagenet(model: str, optimizer: str = "lars") -> AssumedSurface:
    return assumed_surface(model, optimizer, dataset="imagenet", samples=IMAGENET)


@pytest.mark.parametrize("model", TABLES)
def test_it_passes_through_the_papers_tables(
    model: str, paper: Callable[[dict[int, str], str], Rows]
) -> None:
    surface, rows = on_imagenet(model), paper(TABLES[model], model)
    batch, steps = rows.floats("global_batch"), rows.floats("epochs") * IMAGENET
    found = [surface.plateau(s / b) for s, b in zip(steps, batch, strict=True)]
    assert np.sqrt(np.mean((np.array(found) - rows.floats("accuracy")) ** 2)) < 0.5
    lr = rows.floats("base_lr")
    known = np.isfinite(lr)
    ratios = np.array([surface.best_lr(b) for b in batch[known]]) / lr[known]
    assert np.all(np.abs(np.log(ratios)) < np.log(1.35))


def test_sgd_loses_more_at_a_large_batch_and_takes_other_learning_rates() -> None:
    lars, sgd = on_imagenet("alexnet"), on_imagenet("alexnet", "sgd")
    steps = 100 * IMAGENET / 8192
    assert lars.plateau(steps) - sgd.plateau(steps) > 10  # Tables 1a and 3a: 58.2 and 44.8
    assert sgd.best_lr(8192) < 0.01 * lars.best_lr(8192)


def test_the_plateau_is_flat_and_divergence_takes_over_beyond_it() -> None:
    surface = on_imagenet("alexnet_bn")
    best, half = surface.best_lr(16384), 2 ** (surface.flat / 2)
    inside = surface.accuracy(np.array([best / half, best, best * half]), 16384, 8000)
    assert np.ptp(inside) < 1e-9
    cliff = best * half * 2**surface.cliff
    risks = surface.divergence(np.array([best, cliff, 4 * cliff]), 16384)
    assert risks[0] < 0.01
    assert risks[1] == pytest.approx(0.5)
    assert risks[2] > 0.99


def test_other_data_shift_the_top_and_the_scales_only() -> None:
    large, small = on_imagenet("alexnet_bn"), assumed_surface(
        "my.module:network", "lars", dataset="digits", samples=1250
    )  # fmt: skip
    assert (small.climb, small.flat, small.lr_max) == (large.climb, large.flat, large.lr_max)
    assert (small.chance, small.top) == (10.0, 95.0)
    assert small.steps_scale / large.steps_scale == pytest.approx((1250 / IMAGENET) ** 0.75)


def test_an_accuracy_never_falls_below_chance() -> None:
    surface = on_imagenet("alexnet")
    assert surface.accuracy(np.array([1e-9]), 512, 1e5)[0] == surface.chance
