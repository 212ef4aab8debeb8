"""Which samples a step sees."""

from __future__ import annotations

import threading
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_kit import tiny_trial

from lars_sweep.data import epoch_order
from lars_sweep.train.feed import ahead
from lars_sweep.train.stream import Stream, micro_batches
from lars_sweep.train.world import World


@settings(deadline=None)
@given(
    samples=st.integers(1, 60),
    atom=st.integers(1, 5),
    atoms=st.integers(1, 9),
    size=st.integers(1, 12),
    most=st.integers(1, 30),
)
def test_every_sample_once_per_epoch_on_any_shape(
    samples: int, atom: int, atoms: int, size: int, most: int
) -> None:
    batch = atom * atoms
    trial = tiny_trial().__class__(
        model="m", dataset="d", data_id="i", samples=samples, optimizer="sgd",
        global_batch=batch, bn_batch=atom, base_lr=1, epochs=3 * batch, seed=7,
    )  # fmt: skip
    stream = Stream(trial.seed, samples)
    seen = []
    for step in range(trial.steps):
        first_sample = step * batch
        for rank in range(size):
            for item in micro_batches(trial, step, World(rank, size), most):
                assert item.first_sample == first_sample
                assert item.stop_sample - item.first_sample == item.groups * atom
                assert item.first_sample == step * batch + item.first_group * atom
                assert item.groups == 1 or item.groups * atom <= most
                first_sample = item.stop_sample
                seen.append(stream.positions(item.first_sample, item.stop_sample))
    visited = np.concatenate(seen)
    assert len(visited) == trial.steps * batch
    for epoch in range(len(visited) // samples):
        part = visited[epoch * samples : (epoch + 1) * samples]
        np.testing.assert_array_equal(part, epoch_order(7, epoch, samples))
        np.testing.assert_array_equal(np.sort(part), np.arange(samples))


def test_ahead_gives_products_in_order_and_errors_where_they_arose() -> None:
    def work(number: int) -> int:
        if number == 5:
            raise OSError("the disk")
        return number**2

    products = ahead(range(9), work)
    assert [next(products) for _ in range(5)] == [0, 1, 4, 9, 16]
    with pytest.raises(OSError, match="the disk"):
        next(products)


def test_ahead_ends_its_thread_when_closed() -> None:
    products = ahead(count(), lambda number: number)
    assert next(products) == 0
    products.close()
    assert not [t for t in threading.enumerate() if t.name == "lars-sweep data"]
