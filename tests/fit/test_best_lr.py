"""Best LR against batch: the paper's tables, planted laws, too few batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lars_sweep.fit.answers import Answer, Kind
from lars_sweep.fit.best_lr import (
    NO_BEST,
    BestLr,
    LrScaling,
    lr_scaling,
    pooled_criterion,
)
from lars_sweep.fit.rows import Rows

Loader = Callable[[dict[int, str], str], Rows]

NETWORKS = [
    ({3: ""}, "alexnet"),
    ({3: ""}, "alexnet_bn"),
    ({4: "max"}, "resnet50"),
    ({6: ""}, "googlenet"),
]


def _points(rows: Rows) -> BestLr:
    order = np.argsort(rows["global_batch"])
    return BestLr(
        batch=rows.floats("global_batch")[order], lr=rows.floats("base_lr")[order], se=None
    )


def _scaling(points: BestLr) -> LrScaling:
    found = lr_scaling(points)
    assert isinstance(found, LrScaling)
    return found


def test_saturation_predicts_the_last_lr_of_all_four_networks(paper: Loader) -> None:
    for tables, model in NETWORKS:
        forms = _scaling(_points(paper(tables, model))).forms
        (ratio,) = [s.last_ratio for s in forms if s.fit.form.name == "saturating"]
        assert 1 / 1.2 <= ratio <= 1.2


def test_slopes_and_p_values_of_the_tables(paper: Loader) -> None:
    expected = {
        "alexnet": (0.48, 0.012, 0.86),
        "alexnet_bn": (0.61, 0.016, 0.25),
        "resnet50": (0.49, 0.001, 0.81),
        "googlenet": (0.24, 0.0001, 0.002),
    }
    for tables, model in NETWORKS:
        found = _scaling(_points(paper(tables, model)))
        alpha, linear, root = expected[model]
        assert found.alpha.value == pytest.approx(alpha, abs=0.01)
        assert found.hypotheses[0].p_value == pytest.approx(linear, abs=0.002)
        assert found.hypotheses[0].conclusion == "rejected"
        assert found.hypotheses[1].p_value == pytest.approx(root, abs=0.01)


def test_five_batches_without_errors_name_no_best_form(paper: Loader) -> None:
    """AlexNet's saturating residuals are 7 times smaller than its root's; pooled they decide."""
    for tables, model in NETWORKS:
        found = _scaling(_points(paper(tables, model)))
        assert found.best_form == NO_BEST
        assert found.verdict.endswith("best form: not identified.")
    lr = 20 / (1 + 4096 / BATCHES) * 1.02 ** np.array([1, -1, 1, 1, -1, -1, 1, -1])
    assert _scaling(BestLr(batch=BATCHES, lr=lr, se=None)).best_form == "saturating"


def test_forms_over_all_networks_reject_linear_and_prefer_saturation(paper: Loader) -> None:
    scores = pooled_criterion([_points(paper(tables, model)) for tables, model in NETWORKS])
    assert scores["saturating"] == pytest.approx(-61.9, abs=0.5)
    assert scores["square_root"] == pytest.approx(-41.2, abs=0.5)
    assert scores["linear"] == pytest.approx(7.8, abs=0.5)
    assert min(scores, key=lambda name: scores[name]) == "saturating"


def test_two_networks_of_three_batches_rank_no_forms(paper: Loader) -> None:
    """The richest forms have no criterion there, which must not leave the poor ones to win."""
    points = [_points(paper(tables, model)) for tables, model in NETWORKS[:2]]
    few = [BestLr(batch=one.batch[:3], lr=one.lr[:3], se=None) for one in points]
    assert pooled_criterion(few) == {}
    assert pooled_criterion([few[0], *points]) != {}


BATCHES = 2.0 ** np.arange(8, 16)


def _planted(lr: np.ndarray, se: float, seed: int = 0) -> LrScaling:
    noise = np.exp(np.random.default_rng(seed).normal(0, se, len(lr)))
    return _scaling(BestLr(batch=BATCHES, lr=lr * noise, se=np.full(len(lr), se)))


def test_a_root_is_shown_by_equivalence_not_by_a_high_p_value() -> None:
    precise = _planted(0.1 * BATCHES**0.5, 0.03)
    assert precise.hypotheses[1].conclusion == "equivalent"
    assert precise.hypotheses[0].conclusion == "rejected"
    vague = _planted(0.1 * BATCHES**0.5, 0.9)
    assert vague.hypotheses[1].conclusion == "compatible"


def test_saturation_is_found_and_bounded() -> None:
    found = _planted(20 / (1 + 4096 / BATCHES), 0.05)
    assert found.best_form == "saturating"
    assert 4096 in found.saturation_batch.interval
    assert found.saturation_batch.kind is Kind.BOUNDED


def test_lars_null_is_told_from_saturation_of_the_sgd_kind() -> None:
    assert _planted(20 / np.sqrt(1 + 4096 / BATCHES), 0.03).best_form == "lars_null"


def test_units_of_batch_change_no_exponent() -> None:
    lr = 0.1 * BATCHES**0.7
    small = _scaling(BestLr(batch=BATCHES, lr=lr * 1.1 ** np.arange(8), se=None))
    large = _scaling(BestLr(batch=8 * BATCHES, lr=3 * lr * 1.1 ** np.arange(8), se=None))
    assert large.alpha.value == pytest.approx(small.alpha.value)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_batches_give_a_reason(n: int) -> None:
    answer = lr_scaling(BestLr(batch=BATCHES[:n], lr=BATCHES[:n], se=None))
    assert isinstance(answer, Answer)
    assert answer.kind is Kind.NOT_IDENTIFIED


def test_an_exact_law_without_errors_claims_no_precision() -> None:
    found = _scaling(BestLr(batch=BATCHES[:3], lr=0.1 * BATCHES[:3], se=None))
    assert found.alpha.kind is Kind.NO_SIGMA
    assert {h.conclusion for h in found.hypotheses} == {"untested"}
