"""Generalization gap, noise scale and layer norms."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from lars_sweep.fit.answers import Answer, Kind
from lars_sweep.fit.fieller import fieller
from lars_sweep.fit.gap import final_gaps, gap_at_matched_train_loss, gap_bands, tost_power
from lars_sweep.fit.layers import edge_agreement, layer_ratios, predicted_edge, ratio_paths
from lars_sweep.fit.noise_scale import NoiseParts, estimate_noise_scale, noise_parts
from lars_sweep.fit.rows import Rows

TABLES = Path(__file__).parents[2] / "analysis" / "reference"


def runs(difference: float, sd: float, seeds: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    batch = np.repeat([256, 8192], seeds)
    gap = 1.0 + difference * (batch > 256) + rng.normal(0, sd, 2 * seeds)
    return Rows(
        {
            "model": np.full(2 * seeds, "m"),
            "global_batch": batch,
            "epochs": np.full(2 * seeds, 10.0),
            "train_loss": np.full(2 * seeds, 0.5),
            "test_loss": 0.5 + gap,
        }
    )


@pytest.mark.parametrize(
    ("difference", "sd", "conclusion"),
    [(0.0, 0.02, "equivalent"), (0.3, 0.02, "different"), (0.02, 0.3, "inconclusive")],
)
def test_gaps_are_equal_different_or_neither(difference: float, sd: float, conclusion: str) -> None:
    (found,) = final_gaps(runs(difference, sd, seeds=6))
    assert found.conclusion == conclusion
    assert found.margin == pytest.approx(0.1, abs=0.02)
    assert difference in found.difference.interval
    assert found.exploratory == (sd > 0.1)


def test_one_run_per_batch_is_inconclusive() -> None:
    (found,) = final_gaps(runs(0.0, 0.01, seeds=1))
    assert found.conclusion == "inconclusive"
    assert found.difference.kind is Kind.NO_SIGMA
    assert found.power is None


def test_one_batch_has_nothing_to_compare_with() -> None:
    rows = runs(0.0, 0.01, seeds=3)
    answer = final_gaps(rows.where(rows["global_batch"] == 256))
    assert isinstance(answer, Answer)
    assert answer.kind is Kind.NOT_IDENTIFIED


def test_planned_power_is_what_a_simulation_finds() -> None:
    rng = np.random.default_rng(0)
    n, sd, margin = 12, 1.0, 1.2
    successes = 0
    for _ in range(2000):
        (found,) = final_gaps(
            Rows(
                {
                    "global_batch": np.repeat([1, 2], n),
                    "epochs": np.ones(2 * n),
                    "train_loss": np.zeros(2 * n),
                    "test_loss": rng.normal(0, sd, 2 * n),
                }
            ),
            margin=margin,
        )
        successes += found.equivalence_p < 0.05
    planned = tost_power(margin, sd * np.sqrt(2 / n), 2 * n - 2)
    assert successes / 2000 == pytest.approx(planned, abs=0.04)


def curve_rows(shift: float) -> Rows:
    parts = []
    for batch, speed in ((256, 1.0), (8192, 0.5)):
        for seed in range(4):
            epochs = np.arange(1.0, 21.0)
            train = 2.0 * np.exp(-0.1 * speed * epochs)
            test = 1.0 + 0.5 * train + shift * (batch > 256) + 0.001 * seed
            parts.append(np.stack([np.full(20, batch), np.full(20, seed), epochs, train, test]))
    names = ("global_batch", "seed", "epochs", "train_loss", "test_loss")
    return Rows(dict(zip(names, np.concatenate(parts, axis=1), strict=True)))


def test_slow_training_is_not_taken_for_overfitting() -> None:
    slow = gap_at_matched_train_loss(curve_rows(0.0), 256, 8192)
    assert slow.value == pytest.approx(0.0, abs=0.01)
    worse = gap_at_matched_train_loss(curve_rows(0.2), 256, 8192)
    assert worse.value == pytest.approx(0.2, abs=0.01)
    assert 0.0 not in worse.interval
    assert gap_at_matched_train_loss(curve_rows(0.0), 256, 512).kind is Kind.NOT_IDENTIFIED


def test_bands_hold_mean_and_seeds() -> None:
    small, large = gap_bands(curve_rows(0.2))
    assert (small.batch, large.batch) == (256, 8192)
    assert np.all(small.seeds == 4)
    assert np.all(small.low < small.mean)


def gradients(noise: float, steps: int, seed: int = 0) -> NoiseParts:
    """Gaussian gradients with |G|² = 1 and tr(Sigma) = noise, 16 micro-batches of 32."""
    rng = np.random.default_rng(seed)
    dimension, micro, count = 50, 32, 16
    signal = np.zeros(dimension)
    signal[0] = 1.0
    g = signal + rng.normal(0, np.sqrt(noise / dimension / micro), (steps, count, dimension))
    return noise_parts(
        np.mean(np.sum(g**2, axis=2), axis=1), np.sum(np.mean(g, axis=1) ** 2, axis=1), micro, count
    )


def test_noise_scale_is_unbiased_and_bounded_where_it_can_be() -> None:
    answer = estimate_noise_scale(gradients(noise=1000.0, steps=400))
    assert answer.kind is Kind.BOUNDED
    assert 1000.0 in answer.interval


def test_a_gradient_lost_in_noise_gives_a_lower_limit_only() -> None:
    answer = estimate_noise_scale(gradients(noise=1e6, steps=60))
    assert answer.kind in (Kind.AT_LEAST, Kind.NOT_IDENTIFIED)
    assert answer.interval.high is None


def test_few_measurements_give_a_reason() -> None:
    assert estimate_noise_scale(gradients(noise=10.0, steps=3)).kind is Kind.NOT_IDENTIFIED


def test_fieller_solves_its_quadratic() -> None:
    found = fieller(2.0, 1.0, 0.04, 0.01, 0.005)
    for end in (found.low, found.high):
        assert (2.0 - end) ** 2 == pytest.approx(
            1.959964**2 * (0.04 - 2 * end * 0.005 + end**2 * 0.01), rel=1e-9
        )
    vague = fieller(2.0, 0.1, 0.04, 0.01)
    assert vague.high is None
    assert (2.0 - 0.1 * vague.low) ** 2 == pytest.approx(
        1.959964**2 * (0.04 + vague.low**2 * 0.01), rel=1e-9
    )
    assert fieller(0.1, 0.1, 1.0, 1.0).low is None


def table_2() -> Rows:
    with (TABLES / "table2.csv").open() as file:
        rows = list(csv.DictReader(file))
    return Rows(
        {
            "layer": np.array([row["parameter_as_printed"] for row in rows]),
            "step": np.zeros(len(rows), dtype=int),
            "weight_norm": np.array([float(row["weight_norm"]) for row in rows]),
            "gradient_norm": np.array([float(row["gradient_norm"]) for row in rows]),
            "update_ratio": np.full(len(rows), 0.01),
        }
    )


def test_table_2_names_the_layer_that_limits_the_rate() -> None:
    ratios = {ratio.layer: ratio.ratio for ratio in layer_ratios(table_2())}
    assert ratios["conv1.w"] == pytest.approx(5.76, abs=0.01)
    assert ratios["fc6.w"] == pytest.approx(1280, rel=0.01)  # printed 1345 from unrounded norms
    edge = predicted_edge(layer_ratios(table_2()))
    assert "conv1.w" in edge.reason
    measured = Answer(kind=Kind.NO_SIGMA, value=0.06)
    assert edge_agreement(edge, measured).value == pytest.approx(0.06 / edge.value)


def test_layers_without_a_gradient_have_no_ratio() -> None:
    rows = table_2()
    dead = Rows({**rows.columns, "gradient_norm": np.zeros(len(rows))})
    assert layer_ratios(dead) == ()
    assert ratio_paths(dead) == ()
    assert predicted_edge(()).kind is Kind.NOT_IDENTIFIED
    assert len(ratio_paths(rows)) == len(rows)


def paired_runs(difference: float, shared: float, own: float, seeds: int = 5) -> Rows:
    """Every seed's luck is the same at both batches."""
    rows = runs(difference, own, seeds)
    luck = np.tile(np.random.default_rng(9).normal(0, shared, seeds), 2)
    loss = rows.floats("test_loss") + luck
    return Rows({**rows.columns, "test_loss": loss, "seed": np.tile(np.arange(seeds), 2)})


def test_paired_seeds_are_compared_with_themselves() -> None:
    rows = paired_runs(0.2, shared=0.5, own=0.02)
    (pairs,), (apart,) = final_gaps(rows, paired=True), final_gaps(rows)
    assert (pairs.conclusion, apart.conclusion) == ("different", "inconclusive")
    assert pairs.difference.value == pytest.approx(apart.difference.value)
    assert 0.2 in pairs.difference.interval
    assert pairs.difference.interval.width < 0.2 * apart.difference.interval.width


def test_pairs_that_lost_a_partner_do_not_count() -> None:
    rows = paired_runs(0.2, shared=0.5, own=0.02)
    (found,) = final_gaps(rows.where(np.arange(10) != 0), paired=True)
    assert 0.2 in found.difference.interval
    alone = rows.where((rows["global_batch"] == 256) == (rows["seed"] < 2))
    (none,) = final_gaps(alone, paired=True)
    assert (none.difference.kind, none.difference.value) == (Kind.NO_SIGMA, None)
    assert none.difference.reason == "fewer than two seeds in both batches"
