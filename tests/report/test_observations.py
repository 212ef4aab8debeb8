"""Choosing and counting, against plain loops over the rows."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_outcomes import CHANCE, as_table, sweep

from lars_sweep.errors import OutcomeError
from lars_sweep.outcomes.tables import to_table
from lars_sweep.report.observations import Observations, observe

Rows = list[dict[str, Any]]


def observed(outcomes: Rows, curves: Rows | None = None) -> Observations:
    return observe(as_table("outcomes", outcomes), as_table("curves", curves or []))


def stratum_rows(lrs: list[float], values: list[list[float]], **changes: Any) -> Rows:
    """One stratum with the given val accuracies per LR and seed; test is 1 point lower."""
    template = sweep(optimizers=("lars",), batches=(512,), lrs=1, seeds=1)[0][0]
    rows = []
    for point, (lr, accuracies) in enumerate(zip(lrs, values, strict=True)):
        for seed, accuracy in enumerate(accuracies):
            row = template | {
                "trial_id": f"{point:08x}{seed:08x}", "base_lr": lr, "point": point, "seed": seed,
                "params": f'{{"base_lr": {lr}}}', "status": "ok", "accuracy_val": accuracy,
                "accuracy_tail": accuracy - 1, "accuracy": accuracy - 1, "accuracy_at_stop": None,
            }  # fmt: skip
            rows.append(row | changes)
    return rows


def end_as(row: dict[str, Any], status: str) -> None:
    """Turn an ok row into one that ended otherwise."""
    row |= {
        "status": status, "accuracy_val": None, "accuracy_tail": None,
        "accuracy": CHANCE if status == "diverged" else None, "accuracy_at_stop": 50.0,
    }  # fmt: skip


def oracle_choice(rows: Rows) -> tuple[float, float, float, int] | None:
    """(LR, val mean, test mean, n) of the chosen point of one stratum, by plain loops."""
    best = None
    for lr in sorted({row["base_lr"] for row in rows}):
        mine = [r for r in rows if r["base_lr"] == lr and r["status"] != "failed"]
        if not any(r["status"] == "ok" for r in mine) or any(r["status"] == "pruned" for r in mine):
            continue
        val = [r["accuracy_val"] if r["status"] == "ok" else CHANCE for r in mine]
        test = [r["accuracy_tail"] if r["status"] == "ok" else CHANCE for r in mine]
        if best is None or statistics.fmean(val) > best[1]:
            best = (lr, statistics.fmean(val), statistics.fmean(test), len(mine))
    return best


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), prune=st.sampled_from([None, 80.0, 92.9]))
def test_choice_equals_plain_loops(seed: int, prune: float | None) -> None:
    rows, _ = sweep(seed=seed, batches=(512, 8192), lrs=5, prune_below=prune, fail=0.1)
    strata = observed(rows).strata
    assert len(strata) == 4
    for stratum in strata.itertuples():
        expected = oracle_choice([row for row in rows if row["stratum"] == stratum.stratum])
        if expected is None:
            assert math.isnan(stratum.base_lr)
            continue
        assert stratum.base_lr == expected[0]
        assert stratum.choice_mean == pytest.approx(expected[1], rel=1e-14)
        assert stratum.report_mean == pytest.approx(expected[2], rel=1e-14)
        assert stratum.n == expected[3]


def test_row_order_does_not_show() -> None:
    rows, curves = sweep(batches=(512, 8192), lrs=5, prune_below=84, fail=0.1)
    first = observed(rows, curves)
    random.Random(3).shuffle(rows)
    random.Random(4).shuffle(curves)
    second = observed(rows, curves)
    for name in ("trials", "points", "strata", "curves"):
        assert getattr(first, name).equals(getattr(second, name))


def test_failed_rows_are_counted_and_change_nothing_else() -> None:
    rows, _ = sweep(batches=(512,), lrs=5)
    before = observed(rows).strata
    ghosts = [dict(row, trial_id=f"f{i:015x}", seed=99) for i, row in enumerate(rows)]
    for row in ghosts:
        end_as(row, "failed")
    after = observed(rows + ghosts).strata
    assert list(after["failed"]) == [15, 15]
    changed = ["trials", "failed"]
    assert before.drop(columns=changed).equals(after.drop(columns=changed))


def test_a_diverged_seed_counts_as_chance() -> None:
    rows = stratum_rows([0.1, 0.2, 0.4], [[80.0, 80.0], [95.0, 95.0], [70.0, 70.0]])
    end_as(rows[3], "diverged")  # 0.2 now means (95 + 10) / 2
    stratum = observed(rows).strata.iloc[0]
    assert (stratum["base_lr"], stratum["choice_mean"], stratum["report_mean"]) == (0.1, 80.0, 79.0)
    assert (stratum["edge"], stratum["diverged"]) == ("lower", 1)


def test_a_point_with_a_pruned_seed_is_not_eligible() -> None:
    rows = stratum_rows([0.1, 0.2, 0.4], [[80.0, 80.0], [95.0, 95.0], [70.0, 70.0]])
    end_as(rows[3], "pruned")
    assert observed(rows).strata.iloc[0]["base_lr"] == 0.1


@pytest.mark.parametrize(
    ("best", "lost", "edge"),
    [(0, "none", "lower"), (1, "none", ""), (2, "none", "upper"), (1, "diverged", ""),
     (1, "pruned", "upper")],
)  # fmt: skip
def test_edge_of_the_finished_lrs(best: int, lost: str, edge: str) -> None:
    """A diverged LR brackets an optimum, a pruned one does not (PROTOCOL.md 7)."""
    values = [[80.0], [80.0], [80.0]]
    values[best] = [90.0]
    rows = stratum_rows([0.1, 0.2, 0.4], values)
    if lost != "none":
        end_as(rows[2], lost)
    assert observed(rows).strata.iloc[0]["edge"] == edge


def test_a_single_lr_is_an_edge_on_both_sides() -> None:
    assert observed(stratum_rows([0.1], [[90.0]])).strata.iloc[0]["edge"] == "both"


def test_equal_means_give_the_middle_lr() -> None:
    rows = stratum_rows([0.4, 0.1, 0.2, 0.05], [[90.0], [90.0], [90.0], [89.0]])
    assert observed(rows).strata.iloc[0]["base_lr"] == 0.2


def test_paper_protocol_chooses_on_test() -> None:
    rows = stratum_rows([0.1, 0.2], [[80.0], [90.0]], split="paper", accuracy_val=None)
    observations = observed(rows)
    stratum = observations.strata.iloc[0]
    assert observations.protocol == "paper"
    assert (stratum["base_lr"], stratum["choice_mean"]) == (0.2, 89.0)


def test_panels_split_by_what_tells_strata_of_one_batch_apart() -> None:
    rows = []
    for batch in (512, 1024):
        for trust in (0.001, 0.002):
            rows += [
                row
                | {
                    "global_batch": batch, "bn_batch": batch // 8, "trust_coefficient": trust,
                    "stratum": f"{batch}-{trust}", "trial_id": f"{batch}{trust}{row['trial_id']}",
                }
                for row in stratum_rows([0.1, 0.2], [[80.0], [90.0]])
            ]  # fmt: skip
    observations = observed(rows)
    assert "trust_coefficient" in observations.panel_fields
    assert "bn_batch" not in observations.panel_fields  # it follows the batch
    assert list(observations.strata["panel"]) == [0, 0, 1, 1]


def test_strata_that_no_column_tells_apart_keep_their_names() -> None:
    rows = stratum_rows([0.1], [[80.0]], stratum="a")
    rows += [dict(row, stratum="b", trial_id="f" * 16) for row in rows]
    observations = observed(rows)
    assert observations.panel_fields[-1] == "stratum"
    assert list(observations.strata["panel"]) == [0, 1]


def test_a_column_in_proportion_to_the_lr_is_not_searched_by_itself() -> None:
    rows = stratum_rows([0.1, 0.2, 0.3], [[80.0], [90.0], [85.0]])
    for row in rows:
        row["warmup_start"] = row["base_lr"] / 7
    assert observed(rows).searched == ()
    rows[1]["momentum"] = 0.8
    assert observed(rows).searched == ("momentum",)


def test_points_that_differ_only_in_params_are_not_pooled() -> None:
    rows = stratum_rows([0.1], [[80.0]])
    other = dict(rows[0], trial_id="f" * 16, params='{"width": 2}')
    assert list(observed([*rows, other]).points["seeds"]) == [1, 1]


def test_a_missing_column_is_named() -> None:
    rows, _ = sweep(batches=(512,), lrs=1, seeds=1)
    table = as_table("outcomes", rows).drop_columns(["accuracy_val"])
    with pytest.raises(OutcomeError, match="missing columns: accuracy_val"):
        observe(table, to_table("curves", []))
    with pytest.raises(OutcomeError, match="curve table: missing columns: trial_id"):
        observe(as_table("outcomes", rows), pa.table({"step": [1]}))
