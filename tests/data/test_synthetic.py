from __future__ import annotations

import numpy as np
import pytest

from lars_sweep.data import load_dataset
from lars_sweep.errors import DataError


def test_the_default_set_is_the_same_everywhere() -> None:
    info = load_dataset("synthetic").info
    assert (info.train_samples, info.test_samples, info.num_classes) == (4096, 1024, 10)
    assert (info.channels, info.image_size) == (3, 32)
    assert info.content_id == "ac8598bd67244c18"


def test_parameters_in_the_name_are_obeyed() -> None:
    info = load_dataset("synthetic:image_size=9,channels=1,classes=5,samples=8").info
    assert (info.train_samples, info.test_samples, info.num_classes) == (8, 5, 5)
    assert (info.channels, info.image_size) == (1, 9)


def test_classes_are_told_apart_by_the_nearest_mean() -> None:
    data = load_dataset("synthetic:samples=500")
    train = data.train.images(np.arange(500)).reshape(500, -1).astype(float)
    test = data.test.images(np.arange(125)).reshape(125, -1).astype(float)
    means = np.stack([train[data.train.labels == c].mean(axis=0) for c in range(10)])
    nearest = ((test[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    assert np.array_equal(nearest, data.test.labels)
    assert not np.array_equal(test[0], train[0])


@pytest.mark.parametrize("bad", ["size=3", "image_size", "image_size=0", "samples=-4", "classes=x"])
def test_a_bad_parameter_is_named(bad: str) -> None:
    with pytest.raises(DataError, match=f"got '{bad}'; allowed: image_size, channels"):
        load_dataset(f"synthetic:samples=64,{bad}")
