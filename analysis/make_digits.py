"""Write lars_sweep/data/digits.parquet from the digits.csv.gz that scikit-learn ships.

Get the input and run:
    pip download --no-deps scikit-learn
    unzip scikit_learn-*.whl sklearn/datasets/data/digits.csv.gz
    python analysis/make_digits.py sklearn/datasets/data/digits.csv.gz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import lars_sweep.data
from lars_sweep.data.split import validation_split

TEST_SAMPLES = 297


def main(source: Path) -> None:
    """Store the 1,797 rows in their published order: image, label, test."""
    rows = np.loadtxt(source, delimiter=",", dtype=np.uint8)
    images, labels = rows[:, :64], rows[:, 64]
    test = np.zeros(len(rows), dtype=bool)
    test[validation_split(labels.astype(np.int64), TEST_SAMPLES / len(rows))[1]] = True
    table = pa.table(
        {
            "image": pa.FixedSizeListArray.from_arrays(pa.array(images.ravel()), 64),
            "label": pa.array(labels),
            "test": pa.array(test),
        }
    )
    target = Path(lars_sweep.data.__file__).with_name("digits.parquet")
    pq.write_table(table, target, compression="zstd", compression_level=19)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
