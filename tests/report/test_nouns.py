"""One and many."""

from __future__ import annotations

import pytest

from lars_sweep.fit.answers import Answer, Interval, Kind
from lars_sweep.nouns import count
from lars_sweep.report.labels import NBSP, field_label
from lars_sweep.report.wording import answer_words


@pytest.mark.parametrize(
    ("n", "noun", "told"),
    [
        (0, "LR", "0 LRs"),
        (1, "batch", "1 batch"),
        (1.0, "epoch", "1 epoch"),
        (1.5, "epoch", "1.5 epochs"),
        (1200, "batch", "1,200 batches"),
        (2, "stratum", "2 strata"),
        (0.25, "point", "0.25 points"),
    ],
)
def test_only_one_is_singular(n: float, noun: str, told: str) -> None:
    assert count(n, noun) == told


def test_a_setting_of_one_epoch_and_an_answer_of_one() -> None:
    assert field_label("epochs", 1.0) == "1 epoch"
    one = Answer(kind=Kind.BOUNDED, value=1.0, interval=Interval(low=1.0, high=3.0))
    told = answer_words(one, "{:g}".format, "epoch")
    assert told == f"1{NBSP}epoch (95{NBSP}% interval 1 to 3)"
