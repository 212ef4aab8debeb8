"""Accuracy against steps: the paper's tables as fixtures, synthetic truths, and too little data."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable

import numpy as np
import pytest

from lars_sweep.fit.answers import Answer, Kind, to_jsonable
from lars_sweep.fit.average import (
    average,
    confidence_above,
    confidence_of_replicates,
    prediction,
)
from lars_sweep.fit.engine import Data, Noise, fit, profile_of_value
from lars_sweep.fit.forms import Exp, Hinge2, Power
from lars_sweep.fit.rows import Rows
from lars_sweep.fit.steps import (
    StepsFit,
    accuracy_at,
    batch_losing,
    epochs_to_target,
    steps_fit,
    steps_forms,
)
from lars_sweep.fit.tuned import tuned

Loader = Callable[[dict[int, str], str], Rows]

CHANCE = 0.1
SIGMA = Noise(variance=0.25**2, nu=np.inf, source="user")
BY_BATCH = [
    ({3: ""}, "alexnet"),
    ({3: ""}, "alexnet_bn"),
    ({4: "min"}, "resnet50"),
    ({4: "max"}, "resnet50"),
]
JOINT = [
    ({3: "", 5: ""}, "alexnet", 16384),
    ({3: "", 5: ""}, "alexnet_bn", 32768),
    ({4: "max", 5: ""}, "resnet50", 16384),
]


def _data(rows: Rows) -> Data:
    return tuned(rows)[0].data()


def _rms(errors: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def test_32k_rows_are_predicted_from_the_smaller_batches(paper: Loader) -> None:
    single, averaged, persistence = [], [], []
    for tables, model in BY_BATCH:
        data = _data(paper(tables, model))
        seen, last = data.subset(np.arange(4)), data.subset(np.array([4]))
        assert last.x[0, 1] == 32768
        single.append(float(fit(Exp(CHANCE), seen).predict(last.x)[0] - last.y[0]))
        mean = average(steps_forms(seen, CHANCE), seen, SIGMA).predict(last.x)
        averaged.append(float(mean[0] - last.y[0]))
        persistence.append(float(seen.y[-1] - last.y[0]))
    assert _rms(single) <= 1.05
    assert _rms(averaged) <= 0.8
    assert _rms(persistence) == pytest.approx(4.23, abs=0.01)


def test_exp_reproduces_the_residuals_of_the_tables(paper: Loader) -> None:
    rss = [fit(Exp(CHANCE), _data(paper(tables, model))).rss for tables, model in BY_BATCH]
    np.testing.assert_allclose(rss, [0.022, 0.022, 0.143, 0.113], atol=0.003)


def test_200_epochs_are_predicted_from_shorter_runs_and_other_batches(paper: Loader) -> None:
    errors = []
    for tables, model, _ in JOINT:
        data = _data(paper(tables, model))
        longest = int(np.argmax(data.x[:, 0] * data.x[:, 1]))
        curve = fit(Exp(CHANCE), data.without(longest))
        errors.append(float(curve.predict(data.x[longest : longest + 1])[0] - data.y[longest]))
    assert _rms(errors) <= 0.30


def test_batches_at_100_epochs_predict_longer_runs(paper: Loader) -> None:
    for tables, model, _ in JOINT:
        cells = tuned(paper(tables, model))[0]
        data, short = cells.data(), cells.epochs == 100
        curve = fit(Power(), data.subset(short))
        longer = data.subset(~short)
        assert _rms(list(curve.predict(longer.x) - longer.y)) <= 0.55


@pytest.mark.parametrize(
    ("case", "target"), list(zip(JOINT, (58.7, 60.2, 75.4), strict=True)), ids=str
)
def test_the_papers_baselines_may_never_be_reached(
    paper: Loader, case: tuple[dict[int, str], str, int], target: float
) -> None:
    tables, model, batch = case
    found = steps_fit(paper(tables, model), chance=CHANCE, sigma=0.25)
    assert isinstance(found, StepsFit)
    answer = epochs_to_target(found, target, batch)
    assert answer.kind is Kind.NEVER_COMPATIBLE
    assert answer.interval.low > 100
    assert answer.interval.high is None


def test_one_table_is_not_enough_for_the_papers_claims(paper: Loader) -> None:
    rows = paper({5: ""}, "alexnet")
    found = steps_fit(rows, chance=CHANCE, sigma=0.25)
    assert isinstance(found, StepsFit)
    assert found.critical.kind is Kind.NOT_IDENTIFIED
    assert found.matched.kind is Kind.NOT_IDENTIFIED
    assert epochs_to_target(found, 58.7, 16384).kind is Kind.NEVER_COMPATIBLE


SAMPLES = 50_000
TRUTH = (70.0, 30.0, 1500.0)


def synthetic(
    sd: float, seeds: int = 3, batches: tuple[int, ...] = (256, 1024, 4096, 8192), seed: int = 0
) -> Rows:
    rng = np.random.default_rng(seed)
    batch, epochs, _ = (
        a.ravel()
        for a in np.meshgrid(batches, [30.0, 60.0, 120.0], np.arange(seeds), indexing="ij")
    )
    steps = np.ceil(epochs * SAMPLES / batch)
    a, b, s0 = TRUTH
    accuracy = (
        a - b * np.exp(-steps / s0) + rng.normal(0, sd, len(batch))
        if sd
        else (a - b * np.exp(-steps / s0))
    )
    return Rows(
        {
            "model": np.full(len(batch), "m"),
            "global_batch": batch,
            "epochs": epochs,
            "samples": np.full(len(batch), SAMPLES),
            "accuracy": accuracy,
            "base_lr": np.full(len(batch), 1.0),
        }
    )


def test_replicates_at_once_agree_with_one_at_a_time() -> None:
    cells = tuned(synthetic(0.0, seeds=1))[0].data()
    rng = np.random.default_rng(4)
    y = cells.y + rng.normal(0, 0.2, (3, len(cells.y)))
    weights = np.full(y.shape, 2.0)
    forms = steps_forms(cells, 10.0)
    at, variance = np.array([[3000.0, 4096.0]]), np.array([0.05, 0.1, 0.2])
    found = confidence_of_replicates(forms, (cells.x, y, weights), (variance, 12.0), at, 66.0)
    for i in range(3):
        noise = Noise(variance=float(variance[i]), nu=12.0, source="replicates")
        single = average(forms, Data(x=cells.x, y=y[i], weights=weights[i]), noise)
        expected = confidence_above(single, noise, at, np.array([66.0]))[0]
        assert found[i] == pytest.approx(expected, abs=1e-9)


@functools.cache
def base() -> StepsFit:
    found = steps_fit(synthetic(0.2), chance=10.0)
    assert isinstance(found, StepsFit)
    return found


def test_a_reachable_target_is_bounded_and_the_steps_law_kept() -> None:
    found = base()
    truth = 1500.0 * np.log(30.0 / 2.0) * 8192 / SAMPLES
    answer = epochs_to_target(found, 68.0, 8192)
    assert answer.kind in (Kind.BOUNDED, Kind.AT_LEAST)
    assert truth in answer.interval
    assert answer.value == pytest.approx(truth, rel=0.15)
    assert found.steps_law is True
    assert found.examples_law is False
    assert found.averaged.best.form.name in ("exp", "seff_exp")  # the one holds the other


def test_a_target_inside_the_data_is_reached() -> None:
    found = base()
    assert epochs_to_target(found, 57.0, 4096).kind is Kind.REACHED
    assert epochs_to_target(found, 80.0, 4096).kind is Kind.CANNOT


def test_an_estimated_target_widens_the_answer() -> None:
    found = base()
    exact = epochs_to_target(found, 66.0, 4096).interval
    guess = epochs_to_target(found, 66.0, 4096, target_se=0.3).interval
    assert guess.low < exact.low < exact.high < guess.high


def test_many_seeds_give_a_narrow_interval_around_the_truth() -> None:
    found = steps_fit(synthetic(0.2, seeds=100), chance=10.0)
    assert isinstance(found, StepsFit)
    answer = epochs_to_target(found, 68.0, 4096)
    truth = 1500.0 * np.log(30.0 / 2.0) * 4096 / SAMPLES
    assert answer.value == pytest.approx(truth, rel=0.01)
    assert truth in answer.interval
    assert answer.interval.width < 0.05 * truth


def test_predictions_carry_an_interval_that_holds_the_curve() -> None:
    found = base()
    truth = 70.0 - 30.0 * np.exp(-np.ceil(90.0 * SAMPLES / 8192) / 1500.0)
    answer = accuracy_at(found, 8192, 90.0)
    assert truth in answer.interval
    assert answer.interval.width < 1.0
    lost = batch_losing(found, 0.5, 100.0)
    batch = 100.0 * SAMPLES / (1500.0 * np.log(30.0 / 0.5))
    assert batch in lost.interval


def test_an_octave_outside_the_data_both_limits_are_found() -> None:
    """There a curve is known far less well than a cell (y: one simulated sweep)."""
    steps = np.array([9766.0, 4883, 2442, 1221, 611])
    x = np.stack([steps, 256 * 9766 / steps], axis=-1)
    noise = Noise(variance=0.05, nu=56.0, source="replicates")
    weights = np.array([4.75, 12.3, 6.25, 12.1, 5.6])
    y = np.array([90.039, 89.912, 90.08, 87.998, 81.385])
    data = Data(x=x, y=y, weights=weights)
    at = np.array([[306.0, 8192.0]])
    answer = prediction(average((Hinge2(),), data, noise), at)
    assert answer.kind is Kind.BOUNDED
    assert 1.0 < answer.interval.width < 4.0
    curve = fit(Hinge2(), data)
    ends = np.array([answer.interval.low, answer.interval.high])
    rises = profile_of_value(curve, np.repeat(at, 2, axis=0), ends) - curve.rss
    np.testing.assert_allclose(rises, noise.threshold(0.95), rtol=0.02)


def test_batch_and_samples_in_other_units_change_nothing() -> None:
    rows = synthetic(0.2)
    scaled = Rows(
        {
            **rows.columns,
            "global_batch": rows["global_batch"] * 4,
            "samples": rows["samples"] * 4,
        }
    )
    before, after = base(), steps_fit(scaled, chance=10.0)
    assert isinstance(after, StepsFit)
    one, other = epochs_to_target(before, 66.0, 4096), epochs_to_target(after, 66.0, 4 * 4096)
    assert other.value == pytest.approx(one.value, rel=1e-6)
    assert other.interval.low == pytest.approx(one.interval.low, rel=1e-6)


def test_more_seeds_shrink_the_interval() -> None:
    rows = synthetic(0.2)
    twice = Rows({k: np.concatenate([v, v]) for k, v in rows.columns.items()})
    widths = []
    for table in (rows, twice):
        found = steps_fit(table, chance=10.0)
        assert isinstance(found, StepsFit)
        widths.append(epochs_to_target(found, 66.0, 4096).interval.width)
    assert 0.3 < widths[1] / widths[0] < 0.85


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_one_or_two_points_give_a_reason(rows: int) -> None:
    answer = steps_fit(synthetic(0.2, seeds=1).where(np.arange(rows)), chance=10.0)
    assert isinstance(answer, Answer)
    assert answer.kind is Kind.NOT_IDENTIFIED
    assert answer.reason


@pytest.mark.parametrize("constant", [True, False])
def test_without_seeds_there_is_no_invented_precision(constant: bool) -> None:
    rows = synthetic(0.2, seeds=1, batches=(1024,))
    if constant:
        rows = Rows({**rows.columns, "accuracy": np.full(len(rows), 60.0)})
    found = steps_fit(rows, chance=10.0)
    assert isinstance(found, StepsFit)
    assert epochs_to_target(found, 66.0, 1024).kind is Kind.NO_SIGMA
    assert accuracy_at(found, 1024, 60.0).interval is None
    assert batch_losing(found, 0.5, 60.0).kind in (Kind.NO_SIGMA, Kind.CENSORED_HIGH)
    json.dumps(to_jsonable(accuracy_at(found, 1024, 60.0)), allow_nan=False)


def test_a_table_without_learning_rates_has_one_cell_per_batch() -> None:
    rows = truth_rows_without_lr()
    found = steps_fit(rows)
    assert isinstance(found, StepsFit)
    assert len(found.cells) == len(set(rows["global_batch"].tolist()))
    assert found.averaged.noise is not None
    assert found.averaged.noise.source == "replicates"


def truth_rows_without_lr() -> Rows:
    batch = np.repeat([512.0, 1024.0, 2048.0, 4096.0, 8192.0], 3)
    mean = 70.0 - 30.0 * np.exp(-np.ceil(90 * 50_000 / batch) / 1500.0)
    noise = np.random.default_rng(0).normal(0.0, 0.2, len(batch))
    return Rows(
        {
            "model": np.full(len(batch), "m"),
            "global_batch": batch,
            "epochs": np.full(len(batch), 90.0),
            "samples": np.full(len(batch), 50_000.0),
            "accuracy": mean + noise,
        }
    )
