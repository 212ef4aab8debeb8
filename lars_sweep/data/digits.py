"""UCI optical recognition of handwritten digits: 1,797 real images inside the package.

The 8 × 8 images hold 0 … 16 as published (blocks of 4 × 4 pixels, "on" pixels counted), background
0; normalisation by mean and standard deviation makes rescaling to 0 … 255 needless. The test part
(297 images) is ``validation_split(labels, 297 / 1797)`` of the published order; see
``analysis/make_digits.py`` and ``digits.LICENSE``.
"""

from __future__ import annotations

from importlib import resources

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lars_sweep.data.dataset import ArraySource, Dataset, dataset_in_memory

SIZE = 8
NUM_CLASSES = 10


def load_digits() -> Dataset:
    """1,500 training and 297 test images, (1, 8, 8), 10 classes."""
    raw = resources.files("lars_sweep.data").joinpath("digits.parquet").read_bytes()
    # pq.read_table scans in threads of its own: one that still holds the bytes when Python ends
    # aborts the process.
    table = pq.ParquetFile(pa.BufferReader(raw)).read(use_threads=False).combine_chunks()
    pixels = table["image"].combine_chunks().flatten().to_numpy().reshape(-1, 1, SIZE, SIZE)
    labels = table["label"].to_numpy().astype(np.int64)
    is_test = table["test"].to_numpy()
    train, test = (ArraySource(pixels[rows], labels[rows]) for rows in (~is_test, is_test))
    return dataset_in_memory("digits", train, test, num_classes=NUM_CLASSES)
