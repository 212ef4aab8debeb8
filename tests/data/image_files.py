from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

MakeTree = Callable[..., Path]


def jpeg(height: int, width: int, seed: int = 0, mode: str = "RGB", quality: int = 92) -> bytes:
    """A JPEG with smooth content, written by Pillow (not by the decoder under test)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (5, 6, len(mode) if mode != "L" else 1), dtype=np.uint8)
    bands = [
        Image.fromarray(coarse[..., band]).resize((width, height), Image.Resampling.BICUBIC)
        for band in range(coarse.shape[2])
    ]
    file = io.BytesIO()
    Image.merge(mode, bands).save(file, "JPEG", quality=quality)
    return file.getvalue()
