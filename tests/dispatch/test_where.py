"""Conditions over outcome columns: what they mean, and that nothing else is understood."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lars_sweep.dispatch.prune import COLUMNS
from lars_sweep.dispatch.where import Where
from lars_sweep.errors import SpecError

ROW = {"global_batch": 8192, "epochs_done": 12.5, "accuracy_val": 18.0, "optimizer": "sgd"}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("global_batch==8192 and epochs_done>10 and accuracy_val<20", True),
        ("global_batch==8192 and epochs_done>10 and accuracy_val<18", False),
        ("not accuracy_val >= 18", False),
        ("10 < epochs_done <= 12.5", True),
        ("optimizer in ('sgd', 'lars')", True),
        ("optimizer not in ['sgd']", False),
        ("accuracy_val * 2 - -1 > 36.5", True),
        ("global_batch / 2 == 4096 or optimizer == 'lars'", True),
        ("accuracy < 50", False),
        ("accuracy != 50", False),
        ("accuracy + 1 > 0", False),
        ("not accuracy < 50", True),
        ("optimizer == 3", False),
    ],
)
def test_what_conditions_mean(text: str, holds: bool) -> None:
    assert Where(text, COLUMNS).holds(ROW) is holds


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "accuracy_val.__class__",
        "[x for x in (1, 2)]",
        "(lambda: 1)()",
        "accuracy_val if epochs_done else 1",
        "(accuracy_val := 3)",
        "f'{accuracy_val}'",
        "global_batch ** 9999999",
        "global_batch << 3",
        "~global_batch",
        "{1: 2}",
        "ROW['a']",
        "b'x' == optimizer",
        "1j > 0",
        "accuracy_val is None",
        "accuracy_val <",
        "import os",
        "a" * 1001,
        "(" * 300 + "1" + ")" * 300,
        "",
    ],
)
def test_nothing_else_is_understood(text: str) -> None:
    with pytest.raises(SpecError, match="--where"):
        Where(text, COLUMNS)


def test_a_wrong_column_gets_a_hint() -> None:
    with pytest.raises(SpecError, match="no column 'batch'"):
        Where("batch == 1", COLUMNS)
    with pytest.raises(SpecError, match="did you mean accuracy_val"):
        Where("acuracy_val < 1", COLUMNS)


def test_what_cannot_be_compared_is_said() -> None:
    with pytest.raises(SpecError, match="not supported between"):
        Where("optimizer < 3", COLUMNS).holds(ROW)


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_a_spec_error(text: str) -> None:
    with contextlib.suppress(SpecError):
        Where(text, COLUMNS).holds(ROW)
