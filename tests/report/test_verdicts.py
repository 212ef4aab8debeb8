"""The opening sentences, word by word."""

from __future__ import annotations

from typing import Any

import pytest
from synthetic_outcomes import CHANCE, as_table, sweep

from lars_sweep.report.labels import batch_label, listed, signed
from lars_sweep.report.observations import Observations, observe
from lars_sweep.report.verdicts import Verdict, curves_verdict, outcomes_verdict

Rows = list[dict[str, Any]]


def observed(outcomes: Rows, curves: Rows | None = None) -> Observations:
    return observe(as_table("outcomes", outcomes), as_table("curves", curves or []))


def grid(best_lr: dict[int, float], *, seeds: int = 2, optimizer: str = "lars") -> Rows:
    """LRs 0.1, 0.2, 0.4 per batch; the best one reaches 90 on val and 89 on test (± 1 by seed)."""
    rows = sweep(optimizers=(optimizer,), batches=tuple(best_lr), lrs=3, seeds=seeds)[0]
    for i, row in enumerate(rows):
        lr = (0.1, 0.2, 0.4)[row["point"]]
        accuracy = (90.0 if lr == best_lr[row["global_batch"]] else 70.0) + row["seed"]
        row |= {
            "trial_id": f"{optimizer}{i:010x}", "base_lr": lr, "params": f'{{"base_lr": {lr}}}',
            "status": "ok", "cause": None, "accuracy_val": accuracy,
            "accuracy_tail": accuracy - 1, "accuracy": accuracy - 1,
        }  # fmt: skip
    return rows


def end_all(rows: Rows, status: str) -> Rows:
    accuracy = CHANCE if status == "diverged" else None
    end = {"status": status, "accuracy_val": None, "accuracy_tail": None, "accuracy": accuracy}
    return [row | end | {"accuracy_at_stop": 40.0} for row in rows]


@pytest.mark.parametrize(
    ("status", "why"),
    [("diverged", "All 4 trials diverged"), ("pruned", "All 4 trials ended pruned"),
     ("failed", "No trial has finished")],
)  # fmt: skip
def test_nothing_finished_well(status: str, why: str) -> None:
    rows = [row for row in grid({64: 0.2, 1024: 0.2}, seeds=1) if row["base_lr"] < 0.4]
    assert curves_verdict(observed(end_all(rows, status))).sentence == (
        f"{why}: there is no chosen LR to draw curves of."
    )


def test_no_curves_of_chosen_trials() -> None:
    assert curves_verdict(observed(grid({64: 0.2}))).sentence == (
        "No evaluation of a chosen trial is recorded: there are no curves to draw."
    )


def test_counts_of_endings() -> None:
    rows = grid({64: 0.2})
    one = outcomes_verdict(observed(rows[:-1] + end_all(rows[-1:], "failed")))
    assert one == Verdict(
        "All 5 trials in 1 stratum ended ok.",
        ("1 trial failed for reasons of infrastructure and counts nowhere.",),
    )
    mixed = end_all(rows[:1], "diverged") + end_all(rows[1:3], "pruned") + rows[3:]
    assert outcomes_verdict(observed(mixed)) == Verdict(
        "Of 6 trials in 1 stratum, 3 ended ok, 1 diverged and 2 ended pruned.",
        ("A pruned trial is censored: what it would have reached is not known.",),
    )
    assert outcomes_verdict(observed(rows[:1])).sentence == "The only trial in 1 stratum ended ok."
    every = outcomes_verdict(observed(end_all(rows, "failed")))
    assert every == Verdict(
        "No trial has finished: there is nothing to say yet.",
        ("6 trials failed for reasons of infrastructure and count nowhere.",),
    )


def test_curves() -> None:
    rows, curves = sweep(optimizers=("lars",), batches=(64,), lrs=1, seeds=2)
    for row in curves:
        row["train_loss"] = 0.25 if row["trial_id"] == rows[0]["trial_id"] else 0.75
    assert curves_verdict(observed(rows, curves)).sentence == (
        "At the chosen LR the train loss ends at 0.5 ± 0.35 (n = 2) at batch 64 with LARS."
    )


@pytest.mark.parametrize(
    ("batch", "label"), [(64, "64"), (1000, "1000"), (1024, "1K"), (1536, "1536"), (32768, "32K")]
)
def test_batch_labels(batch: int, label: str) -> None:
    assert batch_label(batch) == label


def test_listed() -> None:
    assert [listed(text) for text in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]


def test_points_that_round_to_nothing_have_no_sign() -> None:
    assert [signed(v) for v in (0.004, -0.004, 0.0, 0.006, -1.0)] == [
        "0.00", "0.00", "0.00", "+0.01", "-1.00",
    ]  # fmt: skip
