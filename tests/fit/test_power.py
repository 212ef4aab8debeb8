"""plan --power: more trials say more, hopeless designs are called so, and the answer is stable."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lars_sweep.errors import FitError
from lars_sweep.fit.answers import to_jsonable
from lars_sweep.fit.power import AssumedSurface, PowerReport, SweepDesign, plan_power

SURFACE = AssumedSurface()
BATCHES = (1024, 4096, 16384)


def design(lrs: int = 9, seeds: int = 3, sigma: float = 0.25, span: float = 3.6) -> SweepDesign:
    return SweepDesign(
        lrs={
            batch: tuple(SURFACE.best_lr(batch) * 2.0 ** np.linspace(-span / 2, span / 2, lrs))
            for batch in BATCHES
        },
        seeds=seeds,
        epochs=100.0,
        samples=50_000,
        sigma=sigma,
    )


def report(plan: SweepDesign) -> PowerReport:
    return plan_power(plan, repetitions=60)


def test_the_same_design_gives_the_same_report() -> None:
    first, second = report(design()), report(design())
    assert json.dumps(to_jsonable(first)) == json.dumps(to_jsonable(second))
    assert first.trials == 81


def test_less_noise_narrows_every_interval() -> None:
    noisy, quiet = report(design(sigma=0.5)), report(design(sigma=0.1))
    for before, after in zip(noisy.batches, quiet.batches, strict=True):
        assert before.low_width is None or after.low_width < before.low_width
        assert before.high_width is None or after.high_width < before.high_width
        assert after.best_lr_error < before.best_lr_error
    assert quiet.conclusions[0].probability > 0.9
    assert not quiet.conclusions[0].exploratory


def test_a_grid_that_does_not_bracket_promises_no_interval() -> None:
    found = report(design(span=0.6))
    assert all(batch.bounded < 0.1 for batch in found.batches)
    assert found.conclusions[0].probability == 0.0
    assert found.conclusions[0].exploratory


def test_linear_scaling_is_rejected_where_the_truth_saturates() -> None:
    chances = {c.statement: c.probability for c in report(design()).conclusions}
    assert chances["linear scaling of the LR is rejected"] > 0.9
    assert chances["constant scaling of the LR holds within ±0.1"] < 0.05


def test_alternatives_cost_no_more_and_come_narrowest_first() -> None:
    found = report(design())
    assert all(a.lrs * a.seeds <= 27 for a in found.alternatives)
    assert (9, 3) in {(a.lrs, a.seeds) for a in found.alternatives}
    widths = [a.width for a in found.alternatives if a.width is not None]
    assert widths == sorted(widths)


def test_a_design_that_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(FitError, match="at least 4 LRs"):
        plan_power(design(lrs=3))
