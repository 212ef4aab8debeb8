"""A plan is a function of the sweep file and the data set, and comes back from disk as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from runkit import FACTS, GRID, make_run, plan_of, sampled

from lars_sweep.errors import RunError, SpecError
from lars_sweep.rundir import publish
from lars_sweep.study.cost import example_trials, plan_cost
from lars_sweep.study.plan import load_plan, make_plan, plan_content


def test_a_grid_comes_in_the_order_of_the_file_all_seeds_of_a_point_together(
    tmp_path: Path,
) -> None:
    plan = plan_of(tmp_path)
    assert plan.strata_names == ("small_alexnet_bn-sgd-B64-E2", "small_alexnet_bn-sgd-B128-E2")
    assert [(q.stratum, q.point, q.params, q.seed) for q in plan.queue] == [
        (stratum, point, {"base_lr": lr}, seed)
        for stratum in plan.strata_names
        for point, lr in enumerate((0.1, 0.2, 0.4))
        for seed in (0, 1)
    ]


def test_the_queue_is_golden(tmp_path: Path) -> None:
    """These ids name results that exist; a change here makes them unknown."""
    assert [queued.trial_id for queued in plan_of(tmp_path).queue] == GOLDEN_IDS


def test_every_trial_has_an_id_of_its_own(tmp_path: Path) -> None:
    ids = [queued.trial_id for queued in plan_of(tmp_path).queue]
    assert len(set(ids)) == len(ids) == 12


def test_a_plan_comes_back_from_disk(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    loaded = load_plan(make_run(tmp_path))
    assert loaded.queue == plan.queue
    assert loaded.strata_names == plan.strata_names
    assert loaded.spec.spec_hash == plan.spec.spec_hash
    assert [loaded.trial(q) for q in loaded.queue] == [plan.trial(q) for q in plan.queue]


def test_planning_twice_writes_the_same_content(tmp_path: Path) -> None:
    contents = [
        publish.to_json_bytes(plan_content(plan_of(tmp_path, text), trainer="noop"))
        for text in [GRID, sampled("random", 8), sampled("qmc", 8)]
        for _ in range(2)
    ]
    assert contents[0::2] == contents[1::2]


def test_the_content_is_plain_json_with_the_sweep_in_it(tmp_path: Path) -> None:
    content = json.loads(publish.to_json_bytes(plan_content(plan_of(tmp_path), trainer="noop")))
    assert set(content) == {
        "sweep", "spec_hash", "trainer", "spec", "facts", "model_sources", "strata", "queue",
    }  # fmt: skip
    assert content["facts"] == {"content_id": FACTS.content_id, "train_samples": 1536}
    assert content["queue"][0] == [GOLDEN_IDS[0], 0, 0, {"base_lr": 0.1}, 0]


def test_a_trial_that_resolves_otherwise_is_refused(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    other = replace(plan.queue[0], trial_id="f" * 16)
    with pytest.raises(RunError, match="planned by another version of lars-sweep; finish it with"):
        plan.trial(other)


@pytest.mark.parametrize("kind", ["tpe", "gp"])
def test_an_adaptive_plan_has_no_queue_but_knows_its_size(tmp_path: Path, kind: str) -> None:
    plan = plan_of(tmp_path, sampled(kind, 7, seeds=3))
    assert plan.queue == ()
    assert plan.is_adaptive
    assert (plan.points_per_stratum, plan.total_trials) == (7, 21)


def test_cost_adds_up(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    cost = plan_cost(plan, example_trials(plan))
    # N = 1,280: E = 2 takes 40 steps at B = 64 and 20 at B = 128, both 2,560 images.
    assert [(c.points, c.trials, c.steps_per_trial, c.steps) for c in cost.strata] == [
        (3, 6, (40, 40), 240),
        (3, 6, (20, 20), 120),
    ]
    assert (cost.points, cost.trials, cost.steps, cost.images) == (6, 12, 360, 12 * 2560)
    assert cost.device_hours is None


def test_cost_of_an_adaptive_sweep_is_reckoned_from_one_point(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, sampled("tpe", 5, seeds=2))
    cost = plan_cost(plan, example_trials(plan))
    assert (cost.points, cost.trials, cost.steps, cost.images) == (5, 10, 400, 25_600)


def test_device_hours_come_from_the_stated_throughput(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, GRID + "[budget]\nimages_per_s = 1000\n")
    hours = plan_cost(plan, example_trials(plan)).device_hours
    assert hours == pytest.approx(12 * 2560 / 1000 / 3600)


# ── strategies that Optuna refuses


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('pruner = {name = "FooPruner"}', "strategy.pruner.name: got 'FooPruner'; allowed: Hyper"),
        ('pruner = {name = "PatientPruner"}', "strategy.pruner.name: got 'PatientPruner'; allowed"),
        ('pruner = {name = "MedianPruner", n_warm = 1}', "unexpected keyword argument 'n_warm'"),
        ('pruner = {name = "PercentilePruner"}', "missing 1 required positional argument"),
        ('pruner = {name = "SuccessiveHalvingPruner", reduction_factor = 1}', "reduction_factor"),
    ],
)
def test_a_pruner_that_cannot_be_made_is_refused_by_plan(
    tmp_path: Path, line: str, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        plan_of(tmp_path, GRID + f"[strategy]\n{line}\n")
    assert message in str(caught.value)
    assert f"{tmp_path}/sweep.toml:" in str(caught.value)


def test_a_sampler_that_cannot_be_made_is_refused_by_plan(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"what optuna's TPESampler takes .*argument 'n_start'"):
        plan_of(tmp_path, sampled("tpe", 3, extra="sampler = {n_start = 1}"))


def test_paired_seeds_are_the_sweeps_own(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, GRID + "paired = true\n")
    assert [plan.trial(q).seed for q in plan.queue] == [0, 1] * 6


def test_other_data_make_other_trials(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    other = make_plan(plan.spec, replace(FACTS, content_id="other"))
    assert not {q.trial_id for q in plan.queue} & {q.trial_id for q in other.queue}


GOLDEN_IDS = [
    "eed773732523d295",
    "cda65e5c90b70738",
    "ccbb62e4f71d7b35",
    "54a48021685a98c1",
    "d18b59b1d91cee9b",
    "aeb1eaeb05d5309b",
    "46caa56e8afc4395",
    "9cbed9001e8baf6f",
    "f057d2e5a31ddfc2",
    "6c77bf8aea1b78a8",
    "e4920c7ae7bdc8c3",
    "e327c4b23a277c6f",
]
