from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lars_sweep.data import ArraySource, describe_dataset, load_dataset
from lars_sweep.data.dataset import channel_statistics, content_id, dataset_in_memory
from lars_sweep.errors import DataError


def source(*shape: int, seed: int = 0) -> ArraySource:
    rng = np.random.default_rng(seed)
    return ArraySource(
        rng.integers(0, 256, shape, dtype=np.uint8), np.arange(shape[0], dtype=np.int64) % 3
    )


def test_digits_are_the_published_images() -> None:
    digits = load_dataset("digits")
    info = digits.info
    assert (info.train_samples, info.test_samples, info.num_classes) == (1500, 297, 10)
    assert (info.channels, info.image_size) == (1, 8)
    assert info.content_id == "6c3153b3bbeeae8d"
    # Class counts of the UCI test set, from its documentation (optdigits.names).
    both = np.concatenate([digits.train.labels, digits.test.labels])
    assert np.bincount(both).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert set(np.bincount(digits.test.labels).tolist()) == {29, 30}
    assert digits.train.images(np.arange(1500)).max() == 16
    assert describe_dataset("digits") == info


def test_statistics_equal_float64_numpy() -> None:
    part = source(50, 3, 7, 7)
    mean, std = channel_statistics(part)
    np.testing.assert_allclose(mean, part.array.mean(axis=(0, 2, 3), dtype=np.float64), rtol=1e-14)
    np.testing.assert_allclose(std, part.array.std(axis=(0, 2, 3), dtype=np.float64), rtol=1e-13)


def test_a_constant_channel_has_standard_deviation_1() -> None:
    part = source(4, 2, 3, 3)
    part.array[:, 1] = 9
    mean, std = channel_statistics(part)
    assert (mean[1], std[1]) == (9, 1)


def test_lazy_sources_are_sampled_for_statistics() -> None:
    class Lazy:
        labels = np.zeros(25_000, dtype=np.int64)
        asked = 0

        def images(self, indices: np.ndarray) -> np.ndarray:
            self.asked += len(indices)
            return (indices % 251).astype(np.uint8)[:, None, None, None]

    lazy = Lazy()
    mean, _ = channel_statistics(lazy)
    assert lazy.asked == 10_000
    assert mean[0] == pytest.approx(125, abs=5 * 72.5 / 100)


def test_content_id_sees_every_pixel_label_part_and_shape() -> None:
    train, test = source(6, 1, 4, 4), source(3, 1, 4, 4, seed=1)
    pixel, label = source(6, 1, 4, 4), source(6, 1, 4, 4)
    pixel.array[5, 0, 3, 3] ^= 1
    label.labels[5] ^= 1
    reshaped = ArraySource(train.array.reshape(6, 4, 2, 2), train.labels)
    variants = [(train, test), (pixel, test), (label, test), (test, train), (reshaped, test)]
    assert len({content_id(parts) for parts in variants}) == 5
    oracle = hashlib.sha256()
    for part, shape in ((train, b"[6, 1, 4, 4]int64[6]"), (test, b"[3, 1, 4, 4]int64[3]")):
        oracle.update(b"uint8" + shape + part.array.tobytes() + part.labels.tobytes())
    assert content_id((train, test)) == oracle.hexdigest()[:16]


def test_images_that_are_not_square_are_refused() -> None:
    with pytest.raises(DataError, match="square, got 4 × 5"):
        dataset_in_memory("x", source(6, 1, 4, 5), source(3, 1, 4, 5), num_classes=3)


def test_an_unknown_name_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"'mnist'.*digits, fashion-mnist.*package\.module:function"
    ):
        load_dataset("mnist", tmp_path)


def test_importing_the_package_leaves_pyarrow_out() -> None:
    code = "import lars_sweep.data, sys; sys.exit('pyarrow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
