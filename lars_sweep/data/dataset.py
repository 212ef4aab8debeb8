"""What every data set looks like from outside: images by index, labels, and an identity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lars_sweep.data.stream import random_key, splitmix64
from lars_sweep.errors import DataError

Images = npt.NDArray[np.uint8]
"""(n, C, H, W) uint8."""
Labels = npt.NDArray[np.int64]
"""(n,) int64, 0 … num_classes−1."""
Indices = npt.NDArray[np.int64]

Progress = Callable[[str, int, int | None], None]
"""Called with (what, done, total): bytes of a download, images of a set; total may be unknown."""

STATISTICS_SAMPLES = 10_000
"""Images that mean and standard deviation of a source too big for memory are taken from."""
_CHUNK = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInfo:
    """What a plan needs to know about a data set, without its images."""

    name: str
    content_id: str
    """16 hex digits; the same exactly when images and labels of both parts are the same."""
    num_classes: int
    train_samples: int
    """Size of the training set before a validation part is taken out."""
    test_samples: int
    channels: int
    image_size: int
    """Height and width of the images in pixels."""


class Source(Protocol):
    """One part (training or test) of a data set."""

    @property
    def labels(self) -> Labels:
        """(N,) int64."""

    def images(self, indices: Indices) -> Images:
        """(n, C, H, W) uint8: the images at (n,) positions, in that order.

        Raises:
            DataError: an image cannot be read.
        """


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """A part that lies in memory."""

    array: Images
    """(N, C, H, W) uint8, contiguous."""
    labels: Labels

    def images(self, indices: Indices) -> Images:
        """(n, C, H, W) uint8 at (n,) positions."""
        return self.array[indices]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a test part. Normalisation constants come from the whole training part."""

    info: DataInfo
    train: Source
    test: Source

    @property
    def mean(self) -> npt.NDArray[np.float64]:
        """(C,) mean pixel value per channel, 0 … 255."""
        return self._statistics[0]

    @property
    def std(self) -> npt.NDArray[np.float64]:
        """(C,) standard deviation of the pixels per channel; 1 where the channel is constant."""
        return self._statistics[1]

    @cached_property
    def _statistics(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return channel_statistics(self.train)


def channel_statistics(source: Source) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation per channel, from exact counts of the 256 pixel values.

    A source in memory is read whole; of any other, `STATISTICS_SAMPLES` images in a fixed order.

    Returns:
        (C,) and (C,) float64, in pixel values 0 … 255.
    """
    samples = len(source.labels)
    chosen = np.arange(samples)
    if not isinstance(source, ArraySource) and samples > STATISTICS_SAMPLES:
        rank = splitmix64(random_key(0, "statistics"), chosen)
        chosen = np.sort(np.argsort(rank)[:STATISTICS_SAMPLES])
    counts: npt.NDArray[np.int64] | None = None
    for start in range(0, len(chosen), _CHUNK):
        images = source.images(chosen[start : start + _CHUNK])
        chunk = np.stack(
            [np.bincount(images[:, c].ravel(), minlength=256) for c in range(images.shape[1])]
        )
        counts = chunk if counts is None else counts + chunk
    if counts is None:
        raise DataError("a training part without images has no mean; give at least one image")
    values = np.arange(256.0)
    pixels = counts.sum(axis=1)
    mean = counts @ values / pixels
    variance = (counts * (values - mean[:, None]) ** 2).sum(axis=1) / pixels
    return mean, np.where(variance > 0, np.sqrt(variance), 1.0)


def content_id(parts: Sequence[ArraySource]) -> str:
    """First 16 hex digits of sha256 over shape, pixels and labels (int64, little-endian) of each.

    Args:
        parts: training part, then test part.
    """
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"uint8{list(part.array.shape)}int64[{len(part.labels)}]".encode())
        digest.update(np.ascontiguousarray(part.array).data)
        digest.update(part.labels.astype("<i8").data)
    return digest.hexdigest()[:16]


def dataset_in_memory(
    name: str, train: ArraySource, test: ArraySource, *, num_classes: int
) -> Dataset:
    """Join two parts of equal image shape; the identity is computed from their content."""
    _, channels, height, width = train.array.shape
    if height != width:
        raise DataError(f"{name}: images must be square, got {height} × {width}; crop or pad them")
    info = DataInfo(
        name=name,
        content_id=content_id((train, test)),
        num_classes=num_classes,
        train_samples=len(train.labels),
        test_samples=len(test.labels),
        channels=channels,
        image_size=height,
    )
    return Dataset(info, train, test)
