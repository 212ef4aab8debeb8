"""Groups of rows: which rows are together, and in what order."""

from __future__ import annotations

import numpy as np
import pytest

from lars_sweep.errors import OutcomeError
from lars_sweep.fit.rows import Rows

MIXED = Rows(
    {
        "optimizer": np.array(["sgd", None, "lars", "sgd", "lars", None], dtype=object),
        "lr": np.array([0.5, 0.1, np.nan, 0.5, 0.1, 0.1]),
        "nesterov": np.array([True, False, float("nan"), True, False, False], dtype=object),
        "batch": np.array([512, 256, 256, 512, 512, 256]),
        "row": np.arange(6),
    }
)


def test_rows_that_agree_are_together_in_their_order_and_missing_values_are_last() -> None:
    groups = [(key, rows["row"].tolist()) for key, rows in MIXED.groups(("optimizer", "lr"))]
    assert groups == [
        (("lars", 0.1), [4]),
        (("lars", None), [2]),
        (("sgd", 0.5), [0, 3]),
        ((None, 0.1), [1, 5]),
    ]


def test_keys_are_plain_values() -> None:
    (first, *_), _ = zip(*MIXED.groups(("batch", "nesterov", "lr")), strict=True)
    assert first == (256, False, 0.1)
    assert [type(value) for value in first] == [int, bool, float]


def test_no_rows_are_no_groups_and_no_names_one() -> None:
    nothing = MIXED.where(np.zeros(6, dtype=bool))
    assert list(nothing.groups(("optimizer", "batch"))) == []
    assert [key for key, _ in MIXED.groups(())] == [()]


def test_different_values_ascend() -> None:
    assert MIXED.values("lr") == [0.1, 0.5, None]
    assert MIXED.values("optimizer") == ["lars", "sgd", None]


def test_only_some_columns_are_kept_and_others_are_missed() -> None:
    few = MIXED.only(("lr", "row", "no such"))
    assert list(few.columns) == ["lr", "row"]
    with pytest.raises(OutcomeError, match="no column 'batch'"):
        few["batch"]
