"""Which samples a step sees."""

from __future__ import annotations

import threading
from itertools import count

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loop_kit import tiny_trial

from lars_sweep.data import epoch_order
from lars_sweep.train import batches as batches_module
from lars_sweep.train.augment import Preparation
from lars_sweep.train.batches import Batches
from lars_sweep.train.feed import ahead
from lars_sweep.train.numerics import Numerics
from lars_sweep.train.parts import LoadedDataset, Parts
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


def test_batches_do_not_depend_on_how_many_are_prepared_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor on where they start, on the augmentation, or on how steps are cut."""
    trial = tiny_trial(steps=12)
    device = torch.device("cpu")
    loaded = LoadedDataset.load(trial.dataset, None, device)
    parts = Parts.of(trial, loaded)
    preparation = Preparation(trial, loaded.dataset, 8, Numerics(trial, device, torch.float32))

    def steps(start: int, most_samples: int) -> list[tuple[int, torch.Tensor, torch.Tensor]]:
        batches = Batches(trial, parts.source, parts.training, preparation, World())
        return [
            (b.micro_batch.first_sample, b.images, b.labels)
            for step in range(start, trial.steps)
            for b in batches.of_step(step, most_samples)
        ]

    whole, late, cut = steps(0, 42), steps(5, 42), steps(0, 12)
    monkeypatch.setattr(batches_module, "_BLOCK_VALUES", 1)
    for together, start, most in ((whole, 0, 42), (late, 5, 42), (cut, 0, 12)):
        alone = steps(start, most)
        assert [first for first, *_ in together] == [first for first, *_ in alone]
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[1:], b[1:], rtol=0, atol=0)
    torch.testing.assert_close(whole[5:], late, rtol=0, atol=0)


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
