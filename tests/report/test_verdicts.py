"""The opening sentences, word by word."""

from __future__ import annotations

from typing import Any

import pytest
from synthetic_outcomes import CHANCE, as_table, sweep

from lars_sweep.report.labels import NBSP, batch_label, listed
from lars_sweep.report.observations import Observations, observe
from lars_sweep.report.verdicts import (
    Verdict,
    batch_verdict,
    curves_verdict,
    epochs_verdict,
    lr_verdict,
    outcomes_verdict,
)

Rows = list[dict[str, Any]]
VERDICTS = (lr_verdict, batch_verdict, epochs_verdict, curves_verdict)


def observed(outcomes: Rows, curves: Rows | None = None) -> Observations:
    return observe(as_table("outcomes", outcomes), as_table("curves", curves or []))


def plain(verdict: Verdict) -> Verdict:
    """With ordinary spaces."""
    return Verdict(
        verdict.sentence.replace(NBSP, " "), tuple(n.replace(NBSP, " ") for n in verdict.notes)
    )


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


def test_two_batches() -> None:
    observations = observed(grid({64: 0.1, 1024: 0.2}))
    assert lr_verdict(observations) == Verdict(
        "The best tested LR goes from 0.1 at batch 64 to 0.2 at batch 1K with LARS.",
        (
            "The best tested LR is at the edge of the finished LRs for LARS at batch 64 "
            "(lower edge): a better one may lie beyond.",
        ),
    )
    assert plain(batch_verdict(observations)) == Verdict(
        "At the chosen LR, accuracy on test goes from 89.50 ± 0.71 % (n = 2) at batch 64 to "
        "89.50 ± 0.71 % (n = 2) at batch 1K with LARS.",
        (
            "The seeds that chose the LR are the ones reported: there are no confirmation seeds.",
            "Hollow: the LR is at the edge of those tested, so accuracy may be too low.",
        ),
    )
    assert epochs_verdict(observations).sentence == (
        "All trials were set to 15 epochs: the data cannot say what longer training buys."
    )
    assert curves_verdict(observations).sentence == (
        "No evaluation of a chosen trial is recorded: there are no curves to draw."
    )
    assert outcomes_verdict(observations) == Verdict("All 12 trials in 2 strata ended ok.")


def test_one_batch_and_one_seed() -> None:
    observations = observed(grid({64: 0.2}, seeds=1))
    verdict = plain(lr_verdict(observations))
    assert verdict.sentence == (
        "The best tested LR is 0.2 at batch 64 with LARS, which reached 90.00 % (n = 1)."
    )
    assert verdict.notes == (
        "One seed per point: seed noise is unknown, close LRs cannot be told apart.",
    )
    assert batch_verdict(observations).sentence == (
        "Only batch 64 was run: the data cannot say how accuracy changes with the batch."
    )


@pytest.mark.parametrize(
    ("status", "why"),
    [("diverged", "All 4 trials diverged"), ("pruned", "All 4 trials ended pruned"),
     ("failed", "No trial has finished")],
)  # fmt: skip
def test_nothing_finished_well(status: str, why: str) -> None:
    rows = [row for row in grid({64: 0.2, 1024: 0.2}, seeds=1) if row["base_lr"] < 0.4]
    observations = observed(end_all(rows, status))
    assert lr_verdict(observations).sentence == f"{why}: the data cannot say which LR is best."
    assert batch_verdict(observations).sentence == (
        f"{why}: the data cannot say how accuracy changes with the batch."
    )
    assert curves_verdict(observations).sentence == (
        f"{why}: there is no chosen LR to draw curves of."
    )


def test_diverged_and_pruned_only() -> None:
    rows = grid({64: 0.2}, seeds=1)
    mixed = end_all(rows[:1], "diverged") + end_all(rows[1:], "pruned")
    assert lr_verdict(observed(mixed)).sentence.startswith("All 3 trials diverged or ended pruned:")


def test_every_point_has_a_pruned_seed() -> None:
    rows = grid({64: 0.2})
    pruned = end_all([row for row in rows if row["seed"] == 1], "pruned")
    observations = observed([row for row in rows if row["seed"] == 0] + pruned)
    assert lr_verdict(observations).sentence == (
        "No point has all its seeds run to the end: the data cannot say which LR is best."
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


def test_a_stratum_without_a_choice_is_named_with_its_reason() -> None:
    rows = grid({64: 0.2, 1024: 0.2})
    lost = end_all([row for row in rows if row["global_batch"] == 1024], "diverged")
    verdict = lr_verdict(observed([row for row in rows if row["global_batch"] == 64] + lost))
    assert "No LR could be chosen for LARS at batch 1K (all diverged)." in verdict.notes
    assert plain(verdict).sentence.startswith("The best tested LR is 0.2 at batch 64 with LARS")


def test_two_optimizers_share_the_verb() -> None:
    rows = grid({64: 0.1, 1024: 0.2}) + grid({64: 0.2, 1024: 0.1}, optimizer="sgd")
    assert lr_verdict(observed(rows)).sentence == (
        "The best tested LR goes from 0.1 at batch 64 to 0.2 at batch 1K with LARS and from 0.2 "
        "at batch 64 to 0.1 at batch 1K with SGD."
    )


def test_many_panels_are_counted_instead_of_told() -> None:
    rows: Rows = []
    for i, (first, last) in enumerate([(0.1, 0.2), (0.1, 0.2), (0.2, 0.1), (0.2, 0.2)]):
        renamed = {"model": f"net{i}", "stratum": ""}
        rows += [
            row | renamed | {"trial_id": f"{i}{row['trial_id']}", "stratum": f"{i}{row['stratum']}"}
            for row in grid({64: first, 1024: last})
        ]
    assert lr_verdict(observed(rows)).sentence == (
        "From the smallest to the largest batch the best tested LR rises in 2 of 4 panels, falls "
        "in 1 and stays in 1."
    )


def test_epochs() -> None:
    rows = grid({64: 0.2})
    longer = [
        row | {"epochs": 30.0, "stratum": "longer", "trial_id": f"e{row['trial_id']}"}
        | {"accuracy_tail": row["accuracy_tail"] + 2}
        for row in rows
    ]  # fmt: skip
    assert plain(epochs_verdict(observed(rows + longer))).sentence == (
        "Accuracy on test goes from 89.50 ± 0.71 % (n = 2) at 15 epochs to 91.50 ± 0.71 % (n = 2) "
        "at 30 epochs (LARS, batch 64)."
    )
    lost = observed(rows + end_all(longer, "diverged"))
    assert epochs_verdict(lost).sentence == (
        "No batch has a chosen LR at more than one number of epochs: the data cannot say what "
        "longer training buys."
    )


def test_curves() -> None:
    rows, curves = sweep(optimizers=("lars",), batches=(64,), lrs=1, seeds=2)
    for row in curves:
        row["train_loss"] = 0.25 if row["trial_id"] == rows[0]["trial_id"] else 0.75
    assert curves_verdict(observed(rows, curves)).sentence == (
        "At the chosen LR the train loss ends at 0.5 ± 0.35 (n = 2) at batch 64 with LARS."
    )


def test_no_sentence_claims_an_interval() -> None:
    rows, curves = sweep(epochs=(15.0, 30.0), prune_below=84, fail=0.05)
    for make in (*VERDICTS, outcomes_verdict):
        verdict = make(observed(rows, curves))
        text = " ".join([verdict.sentence, *verdict.notes]).lower()
        assert verdict.sentence.endswith(".")
        assert not any(word in text for word in ("significant", "95 %", "confidence", " ci "))


@pytest.mark.parametrize(
    ("batch", "label"), [(64, "64"), (1000, "1000"), (1024, "1K"), (1536, "1536"), (32768, "32K")]
)
def test_batch_labels(batch: int, label: str) -> None:
    assert batch_label(batch) == label


def test_listed() -> None:
    assert [listed(text) for text in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
