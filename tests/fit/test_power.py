"""plan --power: more trials say more, hopeless designs are called so, and the answer is stable."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from lars_sweep.errors import FitError
from lars_sweep.fit.answers import to_jsonable
from lars_sweep.fit.power import PowerReport, SweepDesign, better, plan_power
from lars_sweep.fit.surface import AssumedSurface

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
    assert quiet.conclusions[0].probability > 0.5 > noisy.conclusions[0].probability


def test_a_grid_that_does_not_bracket_promises_no_interval() -> None:
    found = report(design(span=0.6))
    assert all(batch.bounded < 0.1 for batch in found.batches)
    assert found.conclusions[0].probability == 0.0
    wider = better(found)
    assert wider is not None
    assert wider.octaves == 3.5


def test_the_forms_of_the_best_lr_are_judged_against_the_assumed_one() -> None:
    chances = {c.statement: c.probability for c in report(design()).conclusions}
    assert chances["linear scaling of the best LR is rejected"] > 0.9
    assert chances["constant scaling of the best LR is rejected"] > 0.9
    told = chances["saturation of the best LR is told from a power law, as assumed true"]
    blurred = {c.statement: c.probability for c in report(design(sigma=2.0)).conclusions}
    assert told > blurred["saturation of the best LR is told from a power law, as assumed true"]


def test_equivalence_below_60_percent_is_exploratory_beforehand() -> None:
    claims = [c for c in report(design(sigma=0.1)).conclusions if c.equivalence]
    assert len(claims) == 3  # the exponent, and two batches against the smallest
    assert all(c.probability > 0.6 and not c.exploratory for c in claims)
    weak = report(design(sigma=1.5)).conclusions
    assert all(c.exploratory == c.equivalence for c in weak)


def test_alternatives_cost_no_more_and_come_narrowest_first() -> None:
    found = report(design())
    assert all(a.lrs * a.seeds <= 27 for a in found.alternatives)
    assert [(a.lrs, a.seeds) for a in found.alternatives if a.planned] == [(9, 3)]
    assert all(a.seeds > 1 for a in found.alternatives)  # one seed estimates no sigma
    widths = [a.width for a in found.alternatives if a.width is not None]
    assert widths == sorted(widths)


def test_learning_rates_that_all_diverge_are_survived() -> None:
    plan = design()
    lost = {batch: tuple(64 * lr for lr in lrs) for batch, lrs in plan.lrs.items()}
    found = report(dataclasses.replace(plan, lrs=lost))
    assert all(batch.bounded == 0.0 and batch.inner == 0.0 for batch in found.batches)
    assert all(c.probability == 0.0 for c in found.conclusions)


def test_a_design_that_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(FitError, match="at least 4 LRs"):
        plan_power(design(lrs=3))
