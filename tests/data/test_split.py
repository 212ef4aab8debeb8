from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lars_sweep.data import load_dataset, validation_split

LABELS = hnp.arrays(np.int64, st.integers(1, 400), elements=st.integers(0, 12))


@settings(deadline=None)
@given(labels=LABELS, share=st.floats(0, 0.99))
def test_both_parts_together_are_the_whole(labels: np.ndarray, share: float) -> None:
    train, val = validation_split(labels, share)
    assert train.dtype == val.dtype == np.int64
    assert np.array_equal(np.sort(np.concatenate([train, val])), np.arange(len(labels)))
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(val) > 0)


@settings(deadline=None)
@given(labels=LABELS, share=st.floats(0, 0.99))
def test_every_class_gives_its_share(labels: np.ndarray, share: float) -> None:
    _, val = validation_split(labels, share)
    assert len(val) == round(share * len(labels))
    quotas = np.bincount(labels) * len(val) / len(labels)
    taken = np.bincount(labels[val], minlength=len(quotas))
    assert np.all(np.abs(taken - quotas) < 1)


def test_golden_validation_part_of_digits() -> None:
    labels = load_dataset("digits").train.labels
    train, val = validation_split(labels, 1 / 6)
    assert (len(train), len(val)) == (1250, 250)
    assert val[:6].tolist() == [0, 16, 25, 29, 31, 32]
    assert hashlib.sha256(val.astype("<i8").tobytes()).hexdigest()[:16] == "116a2db0bedd99d1"


def test_imagenet_sized_split_is_50000() -> None:
    labels = np.arange(1_281_167) % 1000
    _, val = validation_split(labels, 50_000 / 1_281_167)
    assert len(val) == 50_000
    assert set(np.bincount(labels[val]).tolist()) == {50}


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_outside_0_1_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        validation_split(np.zeros(4, dtype=np.int64), share)
