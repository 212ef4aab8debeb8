"""p = q: the paper's tables, a planted violation, a planted steps law, and too little data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lars_sweep.fit.answers import Answer
from lars_sweep.fit.engine import Noise
from lars_sweep.fit.rows import Rows
from lars_sweep.fit.same_steps import Collapse, collapse, collapse_of
from lars_sweep.fit.tuned import Tuned

Loader = Callable[[dict[int, str], str], Rows]
NOISE = Noise(variance=0.2**2, nu=np.inf, source="user")
BATCH = np.array([512, 1024, 2048, 4096, 8192, 8192, 8192, 8192], dtype=float)
EPOCHS = np.array([90, 90, 90, 90, 90, 135, 180, 360], dtype=float)


def planted(p: float, q: float, draw: int) -> Collapse:
    mean = 72 - 4.0 * (BATCH / 2048) ** p * (EPOCHS / 90) ** -q
    accuracy = mean + np.random.default_rng(draw).normal(0.0, 0.2, len(BATCH))
    steps, ones = EPOCHS * 50_000 / BATCH, np.ones(len(BATCH))
    table = Tuned(batch=BATCH, epochs=EPOCHS, steps=steps, accuracy=accuracy, weight=ones,
                  lrs=ones, diverged=0 * ones)  # fmt: skip
    found = collapse_of(table, NOISE)
    assert isinstance(found, Collapse)
    return found


@pytest.mark.parametrize(
    ("tables", "model", "p_value"),
    [
        ({3: "", 5: ""}, "alexnet", 0.92),
        ({4: "max", 5: ""}, "resnet50", 0.99),
        ({3: "", 5: ""}, "alexnet_bn", 0.065),
    ],
)
def test_the_papers_tables_collapse(
    paper: Loader, tables: dict[int, str], model: str, p_value: float
) -> None:
    found = collapse(paper(tables, model), pool=("warmup_epochs",))
    assert isinstance(found, Collapse)
    assert found.p_value == pytest.approx(p_value, abs=0.03)
    assert found.collapses
    assert "not rejected" in found.verdict
    if model == "alexnet_bn":
        assert (found.p, found.q) == pytest.approx((1.5, 2.7), abs=0.15)


def test_a_steps_law_is_rejected_as_often_as_the_level_says() -> None:
    rejected = [not planted(0.8, 0.8, draw).collapses for draw in range(60)]
    assert 0 <= sum(rejected) <= 8  # 60 at 5 %: more than 8 at 99 % has another level


def test_another_law_is_found_out() -> None:
    found = planted(0.9, 0.3, 1)
    assert not found.collapses
    assert (found.p, found.q) == pytest.approx((0.9, 0.3), abs=0.15)
    assert "no curve in steps alone" in found.verdict


@pytest.mark.parametrize(("power", "collapses"), [(0.0, True), (0.4, False)])
def test_a_curve_of_another_form_is_judged_by_what_that_form_leaves_over(
    power: float, collapses: bool
) -> None:
    """An exponential in ``S (B/1024)**power``; its seeds scatter less than any power law misses."""
    grid = np.meshgrid([256.0, 512, 1024, 2048, 4096], [25.0, 50, 100])
    batch, epochs = (axis.ravel() for axis in grid)
    steps, ones = epochs * 50_000 / batch, np.ones(15)
    mean = 90 - 40 * np.exp(-steps * (batch / 1024) ** power / 400)
    for draw in range(4):
        accuracy = mean + np.random.default_rng(draw).normal(0.0, 0.02, 15)
        table = Tuned(batch=batch, epochs=epochs, steps=steps, accuracy=accuracy, weight=ones,
                      lrs=ones, diverged=0 * ones)  # fmt: skip
        found = collapse_of(table, Noise(variance=0.02**2, nu=30, source="replicates"))
        assert isinstance(found, Collapse)
        assert found.collapses is collapses


def test_one_number_of_epochs_tells_nothing(paper: Loader) -> None:
    answer = collapse(paper({3: ""}, "alexnet"))
    assert isinstance(answer, Answer)
    assert "both vary" in answer.reason


def test_few_cells_tell_nothing(paper: Loader) -> None:
    rows = paper({3: "", 5: ""}, "alexnet")
    answer = collapse(rows.where(np.arange(len(rows)) < 4), pool=("warmup_epochs",))
    assert isinstance(answer, Answer)
    assert answer.reason.startswith("4 cells")
