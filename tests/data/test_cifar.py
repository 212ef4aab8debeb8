from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lars_sweep.data.cifar import CIFAR10, CIFAR100, CifarFormat, load_cifar
from lars_sweep.errors import DataError

RECORDS = 20
SMALL10 = replace(CIFAR10, records=dict.fromkeys(CIFAR10.records, RECORDS))
SMALL100 = replace(CIFAR100, records=dict.fromkeys(CIFAR100.records, RECORDS))


def write(kind: CifarFormat, directory: Path, *, binary: bool) -> dict[str, np.ndarray]:
    """Standard files with random records; returns (records, labels + pixels) of each."""
    rng = np.random.default_rng(0)
    folder = directory / kind.folders[0 if binary else 1]
    folder.mkdir(parents=True)
    written = {}
    for file, records in kind.records.items():
        rows = rng.integers(0, 256, (records, kind.label_bytes + 3072), dtype=np.uint8)
        rows[:, : kind.label_bytes] = np.arange(records)[:, None] % 10
        rows[:, 0] %= 5
        written[file] = rows
        if binary:
            (folder / f"{file}.bin").write_bytes(rows.tobytes())
        else:
            labels = rows[:, kind.label_bytes - 1].tolist()
            batch = {b"data": rows[:, kind.label_bytes :], kind.label_key: labels}
            (folder / file).write_bytes(pickle.dumps(batch, protocol=3))
    return written


@pytest.mark.parametrize("kind", [SMALL10, SMALL100], ids=lambda kind: kind.name)
def test_binary_and_python_version_are_the_same_data(kind: CifarFormat, tmp_path: Path) -> None:
    rows = write(kind, tmp_path / "binary", binary=True)
    write(kind, tmp_path / "python", binary=False)
    data = load_cifar(kind, tmp_path / "binary")
    assert load_cifar(kind, tmp_path / "python").info == data.info
    assert load_cifar(kind, tmp_path / "python" / kind.folders[1]).info == data.info
    assert data.info.num_classes == kind.num_classes
    train = np.concatenate([rows[file] for file in kind.train_files])
    assert data.info.train_samples == len(train)
    images = data.train.images(np.arange(len(train)))
    assert images.shape == (len(train), 3, 32, 32)
    assert np.array_equal(images.reshape(len(train), -1), train[:, kind.label_bytes :])
    assert np.array_equal(data.test.labels, rows[kind.test_file][:, kind.label_bytes - 1])


def test_the_real_sets_have_the_published_sizes() -> None:
    for kind in (CIFAR10, CIFAR100):
        assert sum(kind.records[file] for file in kind.train_files) == 50_000
        assert kind.records[kind.test_file] == 10_000


def test_a_truncated_binary_file_gives_both_sizes(tmp_path: Path) -> None:
    write(SMALL10, tmp_path, binary=True)
    file = tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"data_batch_3.bin: expected 61,460 bytes.*found 61,459"):
        load_cifar(SMALL10, tmp_path)


def test_a_truncated_python_file_is_named(tmp_path: Path) -> None:
    write(SMALL10, tmp_path, binary=False)
    file = tmp_path / "cifar-10-batches-py" / "test_batch"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(DataError, match="test_batch: not a readable file of cifar10"):
        load_cifar(SMALL10, tmp_path)


def test_a_label_out_of_range_is_refused(tmp_path: Path) -> None:
    rows = write(SMALL10, tmp_path, binary=True)["test_batch"]
    rows[7, 0] = 10
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").write_bytes(rows.tobytes())
    with pytest.raises(DataError, match="expected labels 0 … 9, found 0 … 10"):
        load_cifar(SMALL10, tmp_path)


def test_another_pickles_shape_is_refused(tmp_path: Path) -> None:
    write(SMALL10, tmp_path, binary=False)
    content = {b"data": np.zeros((3, 3072), dtype=np.uint8), b"labels": [0, 1, 2]}
    (tmp_path / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=r"expected 20 × 3,072 .* found \(3, 3072\) and \(3,\)"):
        load_cifar(SMALL10, tmp_path)


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.target,))


def test_a_pickle_that_would_run_code_does_not(tmp_path: Path) -> None:
    write(SMALL10, tmp_path, binary=False)
    target = tmp_path / "touched"
    file = tmp_path / "cifar-10-batches-py" / "data_batch_1"
    file.write_bytes(pickle.dumps({b"data": Evil(target)}))
    with pytest.raises(DataError, match="not allowed in a data file"):
        load_cifar(SMALL10, tmp_path)
    assert not target.exists()


def test_missing_files_say_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar-100-binary\.tar\.gz"):
        load_cifar(CIFAR100, tmp_path)
