from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lars_sweep.data import epoch_order, random_key, splitmix64


def test_splitmix64_reproduces_the_published_sequence() -> None:
    # The reference C code (Vigna, splitmix64.c) seeded with 1234567.
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert splitmix64(1234567, np.arange(5)).tolist() == published
    assert int(splitmix64(1234567, 3)) == published[3]


def test_splitmix64_leaves_its_input_alone() -> None:
    index = np.arange(4, dtype=np.uint64)
    splitmix64(7, index)
    assert index.tolist() == [0, 1, 2, 3]


def test_golden_keys_and_orders() -> None:
    assert random_key(0, "order", 0) == 6376114294773928472
    assert epoch_order(0, 0, 8).tolist() == [5, 2, 3, 7, 6, 0, 1, 4]


@pytest.mark.parametrize(
    "other", [(1, "order", 0), (0, "dropout", 0), (0, "order", 1), (0, "order"), (0, "order", 0, 0)]
)
def test_keys_differ_in_every_argument(other: tuple[int, str]) -> None:
    assert random_key(*other) != random_key(0, "order", 0)


@settings(deadline=None)
@given(seed=st.integers(0, 2**63), epoch=st.integers(0, 10**6), samples=st.integers(0, 3000))
def test_an_epoch_visits_every_sample_once(seed: int, epoch: int, samples: int) -> None:
    order = epoch_order(seed, epoch, samples)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(samples))


def test_orders_look_uniform() -> None:
    # Mean of the first position over 4,000 epochs of 101 samples: 50, standard error 0.46.
    first = [epoch_order(3, epoch, 101)[0] for epoch in range(4000)]
    assert abs(np.mean(first) - 50) < 5 * 0.46
