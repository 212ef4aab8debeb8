"""Data sets by name."""

from __future__ import annotations

from pathlib import Path

from lars_sweep.data.dataset import DataInfo, Dataset, Progress
from lars_sweep.errors import DataError
from lars_sweep.spec.fields import DATASETS
from lars_sweep.spec.userobject import is_reference


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
