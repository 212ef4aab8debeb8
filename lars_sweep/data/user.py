"""A user's own data set: ``package.module:function`` returning a `Dataset` or four arrays."""

from __future__ import annotations

import traceback
from dataclasses import replace
from typing import Any

import numpy as np

from lars_sweep.data.dataset import ArraySource, Dataset, Source, dataset_in_memory
from lars_sweep.errors import DataError
from lars_sweep.spec.userobject import load_object

_ALLOWED = (
    "allowed: a lars_sweep.data.Dataset, or a tuple (train_images, train_labels, test_images, "
    "test_labels) of NumPy arrays, images uint8 (N, C, H, W), labels integers (N,) from 0"
)


def load_user_dataset(reference: str) -> Dataset:
    """Call the function without arguments and check what it returns.

    The identity is that of the content (four arrays), or the one the `Dataset` states.

    Raises:
        SpecError: there is no such function.
        DataError: it failed, or returned something else than a data set.
    """
    function = load_object(reference)
    try:
        result = function()
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise DataError(
            f"data set {reference}: {type(error).__name__} in {frame.filename}:{frame.lineno}: "
            f"{error}"
        ) from error
    if isinstance(result, Dataset):
        return _checked(reference, result)
    if not isinstance(result, tuple) or len(result) != 4:
        size = f" of {len(result)}" if isinstance(result, tuple) else ""
        raise DataError(
            f"data set {reference}: returned a {type(result).__name__}{size}; {_ALLOWED}"
        )
    train = _part(f"data set {reference}: train", *result[:2])
    test = _part(f"data set {reference}: test", *result[2:])
    if train.array.shape[1:] != test.array.shape[1:]:
        raise DataError(
            f"data set {reference}: training images have shape {train.array.shape[1:]}, test "
            f"images {test.array.shape[1:]} (C, H, W); allowed: the same shape"
        )
    num_classes = int(train.labels.max()) + 1
    _check_range(f"data set {reference}: test_labels", test, num_classes)
    return dataset_in_memory(reference, train, test, num_classes=num_classes)


def _part(where: str, images: Any, labels: Any) -> ArraySource:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        hint = ""
        if isinstance(images, np.ndarray) and images.ndim == 3:
            hint = "; for grey images of shape (N, H, W) return images[:, None]"
        raise DataError(f"{where}_images: got {_describe(images)}{hint}; {_ALLOWED}")
    if images.size == 0:
        raise DataError(f"{where}_images: got an empty array {images.shape}; give images")
    if images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        raise DataError(
            f"{where}_images: got shape {images.shape}, channels last; return "
            "images.transpose(0, 3, 1, 2)"
        )
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "iu":
        raise DataError(f"{where}_labels: got {_describe(labels)}; {_ALLOWED}")
    if labels.shape != (len(images),):
        raise DataError(
            f"{where}_labels: got shape {labels.shape}; allowed: ({len(images)},), one label an "
            "image"
        )
    part = ArraySource(np.ascontiguousarray(images), labels.astype(np.int64))
    _check_range(f"{where}_labels", part, None)
    return part


def _check_range(where: str, part: Source, num_classes: int | None) -> None:
    low, high = int(part.labels.min()), int(part.labels.max())
    if low < 0 or (num_classes is not None and high >= num_classes):
        top = "…" if num_classes is None else f"… {num_classes - 1}"
        raise DataError(f"{where}: got {low} … {high}; allowed: 0 {top}")


def _checked(reference: str, dataset: Dataset) -> Dataset:
    """Check a `Dataset` against its own description; its name becomes the reference."""
    info = dataset.info
    for part, source, samples in (
        ("train", dataset.train, info.train_samples),
        ("test", dataset.test, info.test_samples),
    ):
        where = f"data set {reference}: {part}"
        if samples < 1 or source.labels.shape != (samples,) or source.labels.dtype != np.int64:
            raise DataError(
                f"{where}.labels: got {_describe(source.labels)}; allowed: int64 ({samples},) with "
                "at least one sample, as its info says"
            )
        _check_range(f"{where}.labels", source, info.num_classes)
        first = source.images(np.zeros(1, dtype=np.int64))
        shape = (1, info.channels, info.image_size, info.image_size)
        if first.dtype != np.uint8 or first.shape != shape:
            raise DataError(
                f"{where}.images([0]): got {_describe(first)}; allowed: uint8 {shape}, as its info "
                "says"
            )
    return Dataset(replace(info, name=reference), dataset.train, dataset.test)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    return f"a {type(value).__name__}"
