"""A folder tree of JPEG files like ImageNet's: 500 × 375 pixels and some 110 kB each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from lars_sweep.data.jpeg import encode

CLASSES = 10
SHAPES = ((375, 500), (500, 375), (333, 500))


def make_tree(root: Path, images: int) -> Path:
    """``root/train`` with this many images and ``root/val`` with a tenth of them."""
    numbers = np.random.default_rng(1)
    for part, count in (("train", images), ("val", max(CLASSES, images // 10))):
        for number in range(count):
            folder = root / part / f"n{number % CLASSES:08d}"
            folder.mkdir(parents=True, exist_ok=True)
            height, width = SHAPES[number % len(SHAPES)]
            (folder / f"{part}_{number}.JPEG").write_bytes(
                encode(_picture(numbers, height, width), 90)
            )
    return root


def _picture(numbers: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Large shapes with fine grain, so that the file is as long as a photograph's."""
    coarse = numbers.integers(0, 256, (8, 10, 3), dtype=np.uint8)
    shapes = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    grain = numbers.normal(0, 18, (height, width, 1))
    return np.clip(shapes + grain, 0, 255).astype(np.uint8)
