"""Images made from integers alone: the same on every machine, of any size, classes told apart.

A class is a 4 × 4 pattern of random grey values per channel, scaled up to the image; an image is
the mean of its class pattern and of uniform noise.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from lars_sweep.data.dataset import ArraySource, Dataset, Images, dataset_in_memory
from lars_sweep.data.stream import random_key, splitmix64
from lars_sweep.errors import DataError

_PATTERN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticShape:
    """The parameters of ``synthetic:image_size=32,classes=10,samples=4096,…``."""

    image_size: int = 32
    channels: int = 3
    classes: int = 10
    samples: int = 4096
    """Training images; the test part has a quarter as many, at least one per class."""


def parse_synthetic(name: str) -> SyntheticShape:
    """Read ``synthetic`` or ``synthetic:key=value,…``.

    Raises:
        DataError: an unknown key or a value that is no positive integer.
    """
    allowed = [field.name for field in fields(SyntheticShape)]
    values: dict[str, int] = {}
    for item in filter(None, name.partition(":")[2].split(",")):
        key, _, text = item.partition("=")
        if key not in allowed or not text.isascii() or not text.isdigit() or int(text) == 0:
            raise DataError(
                f"data set {name!r}: got {item!r}; allowed: {', '.join(allowed)}, each = a "
                "positive integer, as in synthetic:image_size=32,classes=10,samples=4096"
            )
        values[key] = int(text)
    return replace(SyntheticShape(), **values)


def load_synthetic(name: str) -> Dataset:
    """The data set of this name (see `parse_synthetic`); sample i is of class i mod classes."""
    shape = parse_synthetic(name)
    test_samples = max(shape.samples // 4, shape.classes)
    train = _part(shape, shape.samples, "synthetic train")
    test = _part(shape, test_samples, "synthetic test")
    return dataset_in_memory(name, train, test, num_classes=shape.classes)


def _part(shape: SyntheticShape, samples: int, purpose: str) -> ArraySource:
    labels = np.arange(samples, dtype=np.int64) % shape.classes
    size, channels = shape.image_size, shape.channels
    patterns = _noise("synthetic classes", (shape.classes, channels, _PATTERN, _PATTERN))
    cell = np.arange(size) * _PATTERN // size
    patterns = patterns[:, :, cell[:, None], cell[None, :]]
    array = _noise(purpose, (samples, channels, size, size))
    array >>= np.uint8(1)
    array += (patterns >> np.uint8(1))[labels]
    return ArraySource(array, labels)


def _noise(purpose: str, shape: tuple[int, ...]) -> Images:
    """Uniform bytes: the little-endian bytes of one SplitMix64 stream."""
    count = int(np.prod(shape))
    words = splitmix64(random_key(0, purpose), np.arange(-(-count // 8)))
    return words.astype("<u8", copy=False).view(np.uint8)[:count].reshape(shape)
