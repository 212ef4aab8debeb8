"""From evaluations to the columns of an outcome, as PROTOCOL.md 3 and 6 define them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from runkit import HARDWARE, evaluation, norms

from lars_sweep.outcomes.schema import OUTCOMES
from lars_sweep.outcomes.store import to_tables
from lars_sweep.spec.trainer import Evaluation, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import QueuedTrial
from lars_sweep.worker.record import Effort, Provenance, make_outcome

TRIAL = TrialSpec(
    model="small_alexnet_bn", dataset="digits", data_id="d", samples=1280, optimizer="sgd",
    global_batch=64, bn_batch=32, base_lr=0.1, epochs=100, evaluations=100, seed=3,
)  # fmt: skip
"""S = 2,000 steps, 20 an epoch, one evaluation an epoch."""
PROVENANCE = Provenance(
    sweep="s", spec_hash="a" * 64, hardware=HARDWARE, versions="v", git_commit="c"
)
EFFORT = Effort(attempts=2, wall_s=10.0, started_at=1000.0, finished_at=1020.0)


def row_of(
    evaluations: Sequence[Evaluation],
    trial: TrialSpec = TRIAL,
    status: str = "ok",
    **changes: Any,
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "status": status, "steps_done": trial.steps, "lr_peak": 0.2, "lr_integral": 7.0,
        "chance": 10.0, "evaluations": evaluations, "layers": [norms(1)],
    }  # fmt: skip
    queued = QueuedTrial(trial.trial_id, "stratum", 4, {"base_lr": 0.1}, 0)
    result = TrialResult(**(values | changes))
    outcome = make_outcome(queued, trial, result, EFFORT, PROVENANCE)
    to_tables([outcome])  # fits the schema
    return dict(outcome.row)


def climb(trial: TrialSpec = TRIAL, **changes: Any) -> list[Evaluation]:
    """Evaluation k has k percent on val and k + 0.5 on test."""
    return [
        evaluation(step, float(k), epochs=step * trial.global_batch / trial.samples, **changes)
        for k, step in enumerate(trial.evaluation_steps, start=1)
    ]


def test_a_row_has_every_column_of_the_schema() -> None:
    assert set(row_of(climb())) == {column.name for column in OUTCOMES}


def test_accuracies_at_the_end_are_those_of_the_reporting_split() -> None:
    row = row_of(climb())
    assert (row["accuracy"], row["accuracy_top5"]) == (100.5, 120.5)
    assert (row["test_loss"], row["train_loss"]) == (1.1, 1.0)
    assert row["accuracy_at_stop"] is None


def test_the_tail_is_the_last_twentieth_of_the_steps() -> None:
    """S = 2,000: evaluations at steps 1,920 … 2,000; at E = 100 these are the last five epochs."""
    row = row_of(climb())
    assert row["accuracy_val"] == pytest.approx(98.0)
    assert row["accuracy_tail"] == row["accuracy_last5"] == pytest.approx(98.5)


def test_the_last_five_epochs_are_96_to_100() -> None:
    assert row_of(climb())["accuracy_last5"] == pytest.approx(98.5)


@pytest.mark.parametrize(("epochs", "filled"), [(59, False), (59.9, False), (60, True)])
def test_last5_needs_sixty_epochs(epochs: float, filled: bool) -> None:
    trial = replace(TRIAL, epochs=epochs)
    assert (row_of(climb(trial), trial)["accuracy_last5"] is not None) is filled


def test_with_few_evaluations_the_tail_is_the_last_one() -> None:
    trial = replace(TRIAL, evaluations=3)
    row = row_of(climb(trial), trial)
    assert (row["accuracy_val"], row["accuracy_tail"]) == (3.0, 3.5)


def test_the_paper_protocol_chooses_and_reports_on_test() -> None:
    trial = replace(TRIAL, protocol="paper", val_share=0.0)
    held_out = {"val_accuracy": None, "val_loss": None, "val_top5": None}
    row = row_of(climb(trial, **held_out), trial)
    assert row["split"] == "paper"
    assert row["accuracy_val"] == row["accuracy_tail"] == pytest.approx(98.5)


def test_a_test_accuracy_that_was_not_measured_throughout_the_tail_makes_no_mean() -> None:
    evaluations = climb()
    evaluations[-2] = replace(evaluations[-2], test_accuracy=None)
    row = row_of(evaluations)
    assert row["accuracy_tail"] is None
    assert row["accuracy"] == 100.5


def test_a_diverged_trial_is_at_chance() -> None:
    row = row_of(climb()[:30], status="diverged", cause="nonfinite", steps_done=611)
    chance = ("accuracy", "accuracy_val", "accuracy_tail", "accuracy_last5")
    assert {name: row[name] for name in chance} == dict.fromkeys(chance, 10.0)
    assert (row["status"], row["cause"], row["diverged_step"]) == ("diverged", "nonfinite", 611)
    assert row["accuracy_at_stop"] == 30.0
    assert row["test_loss"] is row["accuracy_top5"] is None
    assert (row["steps_done"], row["images_seen"]) == (611, 611 * 64)
    assert row["epochs_done"] == pytest.approx(611 / 20)


def test_a_trial_that_diverged_before_its_first_evaluation_is_at_chance_too() -> None:
    row = row_of([], status="diverged", cause="nonfinite", steps_done=1)
    assert (row["accuracy"], row["accuracy_at_stop"], row["images_per_s"]) == (10.0, None, None)


def test_last5_of_a_diverged_short_trial_stays_empty() -> None:
    assert row_of([], replace(TRIAL, epochs=10), status="diverged")["accuracy_last5"] is None


def test_a_pruned_trial_has_no_accuracy_but_what_it_had_reached() -> None:
    row = row_of(climb()[:40], status="pruned", cause="pruner", steps_done=800)
    assert row["accuracy_at_stop"] == 40.0
    for name in ("accuracy", "accuracy_val", "accuracy_tail", "accuracy_last5", "diverged_step"):
        assert row[name] is None


def test_a_failed_trial_says_what_failed_and_nothing_else() -> None:
    row = row_of([], status="failed", cause="RuntimeError: out of memory", steps_done=0)
    assert (row["status"], row["cause"]) == ("failed", "RuntimeError: out of memory")
    for name in ("accuracy", "accuracy_val", "accuracy_tail", "accuracy_at_stop", "train_loss"):
        assert row[name] is None


def test_what_is_not_finite_is_null() -> None:
    evaluations = climb()
    evaluations[-1] = replace(evaluations[-1], train_loss=float("nan"), test_loss=float("inf"))
    row = row_of(evaluations)
    assert row["train_loss"] is row["test_loss"] is None


def test_throughput_is_the_median_over_evaluations() -> None:
    evaluations = [replace(e, images_per_s=float(k)) for k, e in enumerate(climb())]
    assert row_of(evaluations)["images_per_s"] == 49.5


def test_effort_covers_all_attempts_and_devices() -> None:
    row = row_of(climb())
    assert (row["attempts"], row["wall_s"], row["device_s"]) == (2, 10.0, 20.0)
    assert row["started_at"] == datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC)
    assert (row["finished_at"] - row["started_at"]).total_seconds() == 20


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        ({}, {"lr_excluded": None, "poly_origin": "global", "power": 2.0, "warmup_epochs": 0.0}),
        ({"exclusions": "bias_bn"}, {"lr_excluded": 0.1}),
        ({"exclusions": "bias_bn", "lr_excluded": 0.5}, {"lr_excluded": 0.5}),
        ({"exclusions": "bias_bn", "lr_excluded": 0.0}, {"lr_excluded": 0.0}),
        ({"schedule": "cosine"}, {"poly_origin": None, "power": None}),
        ({"warmup_steps": 50}, {"warmup_epochs": 2.5}),
    ],
)
def test_settings_appear_in_the_terms_of_the_schema(
    changes: dict[str, Any], columns: dict[str, Any]
) -> None:
    row = row_of([], replace(TRIAL, **changes), status="pruned")
    assert {name: row[name] for name in columns} == columns


def test_the_point_is_kept_as_json() -> None:
    row = row_of(climb())
    assert json.loads(row["params"]) == {"base_lr": 0.1}
    assert (row["stratum"], row["point"], row["seed"]) == ("stratum", 4, 3)


def test_where_a_result_comes_from_is_recorded(tmp_path: Path) -> None:
    row = row_of(climb())
    assert (row["device"], row["versions"], row["git_commit"]) == ("test", "v", "c")
    assert row["spec_hash"] == "a" * 64
