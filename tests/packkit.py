"""A pack of a few images: a data set that is read from files, made in a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lars_sweep.data import DataInfo
from lars_sweep.data.pack import pack_dataset


def make_pack(folder: Path) -> DataInfo:
    """Two classes of eight images in ``folder/imagenet``, and what has no business in a copy."""
    tree = folder.parent / f"{folder.name}-tree"
    pixels = np.random.default_rng(0)
    for part in ("train", "val"):
        for label in ("cat", "dog"):
            (tree / part / label).mkdir(parents=True)
            for number in range(4):
                image = Image.fromarray(pixels.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                image.save(tree / part / label / f"{number}.JPEG")
    info = pack_dataset(tree, folder / "imagenet")
    (folder / "imagenet" / "imagenet.tar").write_text("large")
    (folder / "other").mkdir()
    return info
