"""Data sets by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lars_sweep.data.dataset import DataInfo, Dataset
from lars_sweep.errors import DataError
from lars_sweep.spec.userobject import is_reference

BUILT_IN = ("digits", "fashion-mnist", "cifar10", "cifar100", "imagenet", "synthetic")
"""Names that a sweep file may give, beside ``package.module:function``."""


def load_dataset(name: str, directory: Path | None = None) -> Dataset:
    """Load a data set.

    Args:
        name: one of `BUILT_IN` (``synthetic`` may carry parameters, ``synthetic:image_size=64``).
        directory: where its files lie; needed only by sets that are not found without it.

    Raises:
        DataError: what is missing or wrong, the ways to get it, the next command.
    """
    return _loader(name)(name, directory)


def describe_dataset(name: str, directory: Path | None = None) -> DataInfo:
    """What a plan needs to know, as cheaply as the set allows.

    Raises:
        DataError: as `load_dataset`.
    """
    return load_dataset(name, directory).info


def _loader(name: str) -> Callable[[str, Path | None], Dataset]:
    if name == "digits":
        from lars_sweep.data.digits import load_digits

        return lambda _name, _directory: load_digits()
    if name == "fashion-mnist":
        from lars_sweep.data.fashion_mnist import load_fashion_mnist

        return lambda _name, directory: load_fashion_mnist(directory)
    if name.partition(":")[0] == "synthetic":
        from lars_sweep.data.synthetic import load_synthetic

        return lambda name, _directory: load_synthetic(name)
    if name in ("cifar10", "cifar100"):
        from lars_sweep.data.cifar import CIFAR10, CIFAR100, load_cifar

        kind = CIFAR10 if name == "cifar10" else CIFAR100
        return lambda _name, directory: load_cifar(kind, directory)
    if is_reference(name):
        from lars_sweep.data.user import load_user_dataset

        return lambda name, _directory: load_user_dataset(name)
    raise DataError(
        f"no data set is called {name!r}; allowed: {', '.join(BUILT_IN)}, or "
        "package.module:function for your own"
    )
