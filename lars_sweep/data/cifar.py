"""CIFAR-10 and CIFAR-100 from their standard files: the binary version, or the python version.

Format: https://www.cs.toronto.edu/~kriz/cifar.html. The binary version is preferred; the python
version is read by an unpickler that builds arrays, numbers, strings, lists and dicts only.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lars_sweep.data.dataset import ArraySource, Dataset, dataset_in_memory
from lars_sweep.data.places import find_files
from lars_sweep.errors import DataError

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class CifarFormat:
    """What tells one CIFAR from the other."""

    name: str
    archive: str
    """Start of the archive's name and of the folders inside, as in ``cifar-10``."""
    folders: tuple[str, str]
    """Of the binary and of the python version."""
    train_files: tuple[str, ...]
    """File names of the python version; the binary ones end in ``.bin``."""
    test_file: str
    records: dict[str, int]
    """Images in each file."""
    num_classes: int
    label_bytes: int
    """Labels before the pixels of a binary record; the last one counts (100: coarse, fine)."""
    label_key: bytes
    """Of the python version's dict."""


_BATCHES = tuple(f"data_batch_{k}" for k in range(1, 6))
CIFAR10 = CifarFormat(
    name="cifar10",
    archive="cifar-10",
    folders=("cifar-10-batches-bin", "cifar-10-batches-py"),
    train_files=_BATCHES,
    test_file="test_batch",
    records=dict.fromkeys((*_BATCHES, "test_batch"), 10_000),
    num_classes=10,
    label_bytes=1,
    label_key=b"labels",
)
CIFAR100 = CifarFormat(
    name="cifar100",
    archive="cifar-100",
    folders=("cifar-100-binary", "cifar-100-python"),
    train_files=("train",),
    test_file="test",
    records={"train": 50_000, "test": 10_000},
    num_classes=100,
    label_bytes=2,
    label_key=b"fine_labels",
)


def load_cifar(kind: CifarFormat, directory: Path | None = None) -> Dataset:
    """50,000 training and 10,000 test images, (3, 32, 32).

    Raises:
        DataError: the files are nowhere, or one is truncated, corrupt or of another data set.
    """
    binary, python = kind.folders
    found = find_files(
        kind.name,
        [
            (f"{binary}/{file}.bin", f"{file}.bin", f"{python}/{file}", file)
            for file in kind.records
        ],
        directory,
        ways=(
            f"download and unpack {kind.archive}-binary.tar.gz (or {kind.archive}-python.tar.gz) "
            "from https://www.cs.toronto.edu/~kriz/cifar.html",
            f"and name the directory that holds {binary}/: --data-dir DIR; or put {binary}/ in the "
            "directory named above",
        ),
    )
    paths = dict(zip(kind.records, found.values(), strict=True))
    train = _join([_read(kind, paths[file], kind.records[file]) for file in kind.train_files])
    test = _read(kind, paths[kind.test_file], kind.records[kind.test_file])
    return dataset_in_memory(kind.name, train, test, num_classes=kind.num_classes)


def _join(parts: list[ArraySource]) -> ArraySource:
    return ArraySource(
        np.concatenate([part.array for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _read(kind: CifarFormat, path: Path, records: int) -> ArraySource:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    read = _read_binary if path.suffix == ".bin" else _read_python
    part = read(kind, path, content, records)
    if part.labels.min() < 0 or part.labels.max() >= kind.num_classes:
        raise DataError(
            f"{path}: expected labels 0 … {kind.num_classes - 1}, found {part.labels.min()} … "
            f"{part.labels.max()}; the file is corrupt or not of {kind.name}: unpack it again"
        )
    return part


def _read_binary(kind: CifarFormat, path: Path, content: bytes, records: int) -> ArraySource:
    expected = records * (kind.label_bytes + _PIXELS)
    if len(content) != expected:
        raise DataError(
            f"{path}: expected {expected:,} bytes ({records:,} records of {kind.name}), found "
            f"{len(content):,}; the file is truncated or not of {kind.name}: unpack it again"
        )
    rows = np.frombuffer(content, dtype=np.uint8).reshape(records, -1)
    pixels = np.ascontiguousarray(rows[:, kind.label_bytes :]).reshape(-1, 3, 32, 32)
    return ArraySource(pixels, rows[:, kind.label_bytes - 1].astype(np.int64))


def _read_python(kind: CifarFormat, path: Path, content: bytes, records: int) -> ArraySource:
    try:
        batch = _ArraysOnly(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = batch[b"data"], np.asarray(batch[kind.label_key], dtype=np.int64)
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(
            f"{path}: not a readable file of {kind.name} ({type(error).__name__}: {error}); "
            f"unpack it again, or use the binary version ({kind.archive}-binary.tar.gz)"
        ) from error
    fits = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8
    if not fits or pixels.shape != (records, _PIXELS) or labels.shape != (records,):
        raise DataError(
            f"{path}: expected {records:,} × {_PIXELS:,} unsigned bytes and {records:,} labels, "
            f"found {getattr(pixels, 'shape', type(pixels).__name__)} and {labels.shape}; the file "
            f"is not of {kind.name}: unpack it again"
        )
    return ArraySource(pixels.reshape(-1, 3, 32, 32), labels)


# All that a pickled array names; NumPy 1 wrote the first _reconstruct, NumPy 2 writes the second.
_RECONSTRUCT: object = np.empty(0).__reduce__()[0]
_ALLOWED_GLOBALS: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
}


class _ArraysOnly(pickle.Unpickler):
    """Refuses every global but those of a pickled array: a pickle can run code."""

    def find_class(self, module: str, name: str) -> object:
        try:
            return _ALLOWED_GLOBALS[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a data file") from None
