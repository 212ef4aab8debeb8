"""The LR interval against the small-batch baseline: its edges, its error, and when it is empty."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from test_lr_interval import DELTA, LRS, table

from lars_sweep.fit.answers import Kind
from lars_sweep.fit.baseline import BaselineInterval, against_baseline
from lars_sweep.fit.lr_interval import LrInterval, lr_interval
from lars_sweep.fit.rows import Rows

FALL = 2.0


def sweep(top: float, draw: int, *, sd: float = 0.2, seeds: int = 4) -> Rows:
    """A plateau of 1.6 octaves around LR 1 that falls by 2 x² to both sides."""
    lr = np.repeat(LRS, seeds)
    x = np.abs(np.log2(lr)) - 0.8
    noise = np.random.default_rng(draw).normal(0.0, sd, len(lr))
    return table(lr, top - FALL * np.maximum(0, x) ** 2 + noise)


def interval(rows: Rows, batch: int, **options: float) -> LrInterval:
    return lr_interval(rows, DELTA, batch=batch, epochs=100.0, **options)


def compared(lost: float, draw: int = 0, **options: float) -> BaselineInterval:
    rows = sweep(60.0 - lost, 2 * draw, **options)
    small = interval(sweep(60.0, 2 * draw + 1, **options), 256)
    found = against_baseline(rows, interval(rows, 8192), small)
    assert isinstance(found, BaselineInterval)
    return found


def edge(lost: float) -> float:
    """True upper edge, octaves."""
    return 0.8 + float(np.sqrt((DELTA - lost) / FALL))


def test_a_batch_that_loses_has_fewer_learning_rates_that_keep_up() -> None:
    own, behind = compared(0.0, sd=0.02), compared(0.3, sd=0.02)
    assert own.high.value == pytest.approx(2 ** edge(0.0), rel=0.05)
    assert behind.high.value == pytest.approx(2 ** edge(0.3), rel=0.05)
    assert behind.low.value == pytest.approx(2 ** -edge(0.3), rel=0.05)
    assert behind.lost.value == pytest.approx(0.3, abs=0.05)


def test_a_batch_that_wins_has_more() -> None:
    assert compared(-0.4, sd=0.02).high.value == pytest.approx(2 ** edge(-0.4), rel=0.05)


def test_far_behind_no_learning_rate_keeps_up() -> None:
    found = compared(2.0)
    assert (found.low.kind, found.high.kind, found.inner) == (Kind.CANNOT, Kind.CANNOT, None)
    assert "no LR keeps up" in found.low.reason


def test_just_behind_perhaps_none_does() -> None:
    found = compared(0.55, sd=0.3)
    assert found.high.kind is Kind.NOT_IDENTIFIED
    assert found.inner is None
    assert found.outer.high is not None
    assert found.outer.high > 1.5


def test_the_baselines_own_error_widens_the_edges() -> None:
    rows = sweep(59.8, 0)
    own, base = interval(rows, 8192), interval(sweep(60.0, 1), 256)
    known = dataclasses.replace(base.plateau, interval=base.plateau.interval.map(lambda v: v))
    sharp = dataclasses.replace(
        base,
        plateau=dataclasses.replace(
            known, interval=dataclasses.replace(known.interval, low=known.value, high=known.value)
        ),
    )
    vague, exact = (against_baseline(rows, own, other) for other in (base, sharp))
    assert vague.high.interval.width > exact.high.interval.width  # type: ignore[union-attr]


def test_both_edges_hold_the_truth_as_a_rule() -> None:
    """Twelve draws; analysis/benchmarks/coverage_chain.py draws hundreds."""
    found = [compared(0.15, draw + 10) for draw in range(12)]
    assert sum(2 ** edge(0.15) in one.high.interval for one in found) >= 10
    assert sum(2 ** -edge(0.15) in one.low.interval for one in found) >= 10


def test_the_baseline_against_itself_is_its_own_interval() -> None:
    rows = sweep(60.0, 1)
    own = interval(rows, 256)
    found = against_baseline(rows, own, own)
    assert isinstance(found, BaselineInterval)
    assert (found.low, found.high, found.inner) == (own.low, own.high, own.inner)


def test_without_sigma_there_is_an_estimate_only() -> None:
    found = compared(0.1, seeds=1)
    assert found.high.kind is Kind.NO_SIGMA
    assert found.lost.interval is None


def test_without_a_plateau_there_is_a_reason() -> None:
    rows = sweep(60.0, 1)
    few = rows.where(rows["base_lr"] > 2)
    answer = against_baseline(few, interval(few, 8192), interval(rows, 256))
    assert not isinstance(answer, BaselineInterval)
    assert answer.kind is Kind.NOT_IDENTIFIED
