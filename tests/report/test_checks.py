"""What is refused as a table of outcomes: each wrong value by column, row, got and allowed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from lars_sweep.errors import OutcomeError
from lars_sweep.report.checks import check_outcomes

NAN, INF = float("nan"), float("inf")
TABLE = pa.table(
    {
        "model": ["net"] * 4,
        "global_batch": [256, 256, 1024, 1024],
        "epochs": [10, 10, 10, 10],
        "samples": [50_000] * 4,
        "accuracy": [70.5, 70.25, None, 69.0],
        "status": ["ok", "ok", "failed", "ok"],
    }
)


def given(**columns: list[object]) -> pa.Table:
    """`TABLE` with some columns set."""
    return pa.table({name: TABLE[name] for name in TABLE.column_names} | columns)


NUMBER = "allowed: a finite number above 0; mend these rows or leave them out"
FROM_0 = "allowed: a finite number from 0 on; mend these rows or leave them out"
PERCENT = "allowed: percent, 0 to 100; mend these rows or leave them out"
WRONG: list[tuple[dict[str, list[object]], str]] = [
    ({"accuracy": ["a", "b", "c", "d"]}, "column accuracy: got string; allowed: numbers"),
    (
        {"accuracy": [0.7, 0.6, 0.5, 0.4]},
        "column accuracy: got at most 0.7; allowed: percent; multiply it by 100",
    ),
    (
        {"accuracy": [70.0, 101.0, 1.0, -2.0]},
        f"column accuracy: got 101, -2 in row 2 and 1 more; {PERCENT}",
    ),
    ({"accuracy": [INF, 1.0, 1.0, 2.0]}, f"column accuracy: got inf in row 1; {PERCENT}"),
    (
        {"accuracy_val": [0.7, 0.71, None, 0.69]},
        "column accuracy_val: got at most 0.71; allowed: percent; multiply it by 100",
    ),
    (
        {"accuracy_tail": [0.7, 0.71, None, 0.69]},
        "column accuracy_tail: got at most 0.71; allowed: percent; multiply it by 100",
    ),
    ({"accuracy_val": [70, -5, 70, 70]}, f"column accuracy_val: got -5 in row 2; {PERCENT}"),
    ({"global_batch": [256, 0, 1, 1]}, f"column global_batch: got 0 in row 2; {NUMBER}"),
    (
        {"global_batch": [256.0, NAN, 1.0, None]},
        "column global_batch: got nothing in row 2 and 1 more; allowed: a number above 0 in every "
        "row",
    ),
    (
        {"global_batch": [256.5, 1.0, 1.0, 1.0]},
        "column global_batch: got 256.5 in row 1; allowed: whole numbers",
    ),
    ({"samples": [None] * 4}, "column samples: got nothing; allowed: numbers"),
    ({"epochs": [10.0, INF, 1.0, 1.0]}, f"column epochs: got inf in row 2; {NUMBER}"),
    (
        {"base_lr": [0.1, None, NAN, 0.1]},
        "column base_lr: got nothing in row 2 and 1 more; allowed: an LR in every row, or in none",
    ),
    (
        {"base_lr": [0.0, -1.0, INF, -2.0]},
        f"column base_lr: got 0, -1, inf, ... in row 1 and 3 more; {NUMBER}",
    ),
    ({"lr_peak": [0.1, 0.0, None, 0.1]}, f"column lr_peak: got 0 in row 2; {NUMBER}"),
    ({"warmup_epochs": [0, -1, 0, 0]}, f"column warmup_epochs: got -1 in row 2; {FROM_0}"),
    ({"weight_decay": ["x"] * 4}, "column weight_decay: got string; allowed: numbers"),
    ({"seed": [0.5, 1.0, 2.0, 3.0]}, "column seed: got 0.5 in row 1; allowed: whole numbers"),
    ({"seed": [True, False, True, True]}, "column seed: got bool; allowed: numbers"),
    (
        {"nesterov": ["perhaps"] * 4},
        "column nesterov: got string; allowed: bool; convert, rename or drop it",
    ),
    (
        {"model": [b"r\xe9s"] * 4},
        "column model: got bytes that are no UTF-8; allowed: text; save the file as UTF-8",
    ),
    (
        {"model": ["net", None, "net", ""]},
        "column model: got nothing in row 2 and 1 more; allowed: a name in every row",
    ),
    (
        {"optimizer": ["lars", "", "lars", "sgd"]},
        "column optimizer: got nothing in row 2; allowed: a name in every row",
    ),
    (
        {"status": ["ok", "done", "ok", None]},
        "status: got done, nothing in row 2 and 1 more; allowed: ok, diverged, pruned, failed",
    ),
]


@pytest.mark.parametrize(("columns", "message"), WRONG, ids=[text[:40] for _, text in WRONG])
def test_each_wrong_column_is_told(columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(OutcomeError) as refused:
        check_outcomes(given(**columns), Path("mine.csv"))
    assert str(refused.value) == f"mine.csv: {message}"


def test_everything_wrong_is_told_at_once() -> None:
    table = given(status=["ok", "done", "ok", "ok"], accuracy=["a"] * 4, base_lr=[0.0, 1, 1, 1])
    with pytest.raises(OutcomeError) as refused:
        check_outcomes(table, Path("mine.csv"))
    told = [line.split(": got")[0] for line in str(refused.value).splitlines()]
    assert told == ["mine.csv: column accuracy", "mine.csv: status", "mine.csv: column base_lr"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.drop_columns(["samples", "epochs"]), "no column epochs, samples; got model, "),
        (TABLE.slice(0, 0), "the table has no rows"),
        (
            TABLE.append_column("model", TABLE["model"]),
            "column model: got it 2 times; allowed: once; rename or drop the others",
        ),
    ],
)
def test_what_has_not_the_columns_is_refused(table: pa.Table, message: str) -> None:
    with pytest.raises(OutcomeError, match=message):
        check_outcomes(table, Path("mine.csv"))


def test_what_may_be_missing_may_be() -> None:
    nothing: list[object] = [None] * 4
    check_outcomes(
        given(
            accuracy=nothing, base_lr=nothing, optimizer=nothing, lr_peak=[0.1, None, 0.2, NAN],
            lars_variant=["paper", None, "", None], seed=[0.0, 1.0, None, 1.0], mine=[b"\xff"] * 4,
            train_loss=[INF, NAN, 1.0, None],
        ),
        Path("mine.csv"),
    )  # fmt: skip
    # all diverged: far below what a share of runs that learned would be
    check_outcomes(given(accuracy=[0.1] * 4, status=["diverged"] * 4), Path("mine.csv"))
