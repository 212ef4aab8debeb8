"""Data sets by name."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

from lars_sweep.data.dataset import DataInfo, Dataset, Progress
from lars_sweep.errors import DataError
from lars_sweep.spec.fields import DATASETS
from lars_sweep.spec.userobject import is_reference

_FILES = {
    "fashion-mnist": ("*-ubyte", "*-ubyte.gz"),
    "cifar10": ("cifar-10-*", "data_batch_*", "test_batch*"),
    "cifar100": ("cifar-100-*", "train", "train.bin", "test", "test.bin"),
    "imagenet": (
        "train",
        "val",
        ".lars-sweep-index.parquet",
        "index.parquet",
        "pack.json",
        "*.jpegs",
    ),
}
"""Data sets that are read from files of the user's, and what those may be called: the others find
theirs in lars-sweep, or in the user's own code."""


def reads_files(name: str) -> bool:
    """Whether a data set is read from the directory that its user names."""
    return name in _FILES


def not_of(name: str, entries: Iterable[str]) -> set[str]:
    """What of a directory's entries does not belong to a data set that lies in it."""
    return {entry for entry in entries if not any(fnmatch(entry, p) for p in _FILES[name])}


def load_dataset(name: str, directory: Path | None = None) -> Dataset:
    """Load a data set.

    Args:
        name: one of `DATASETS` (``synthetic`` may carry parameters, ``synthetic:image_size=64``),
            or ``package.module:function``.
        directory: where its files lie; needed only by sets that are not found without it.

    Raises:
        DataError: what is missing or wrong, the ways to get it, the next command.
    """
    # Imported where used: a plan over digits must not pay for Pillow, nor --help for pyarrow.
    if name == "digits":
        from lars_sweep.data.digits import load_digits

        return load_digits()
    if name == "fashion-mnist":
        from lars_sweep.data.fashion_mnist import load_fashion_mnist

        return load_fashion_mnist(directory)
    if name in ("cifar10", "cifar100"):
        from lars_sweep.data.cifar import CIFAR10, CIFAR100, load_cifar

        return load_cifar(CIFAR10 if name == "cifar10" else CIFAR100, directory)
    if name == "imagenet":
        from lars_sweep.data.imagenet import load_imagenet

        return load_imagenet(directory)
    if name.partition(":")[0] == "synthetic":
        from lars_sweep.data.synthetic import load_synthetic

        return load_synthetic(name)
    if is_reference(name):
        from lars_sweep.data.user import load_user_dataset

        return load_user_dataset(name)
    raise DataError(
        f"no data set is called {name!r}; allowed: {', '.join(DATASETS)}, or "
        "package.module:function for your own"
    )


def describe_dataset(
    name: str, directory: Path | None = None, *, progress: Progress | None = None
) -> DataInfo:
    """What a plan needs to know, as cheaply as the set allows.

    Args:
        name: as for `load_dataset`.
        directory: as for `load_dataset`.
        progress: called while an image tree is read for the first time, which may take long.

    Raises:
        DataError: as `load_dataset`.
    """
    if name == "imagenet":
        from lars_sweep.data.imagenet import describe_imagenet

        return describe_imagenet(directory, progress=progress)
    return load_dataset(name, directory).info
