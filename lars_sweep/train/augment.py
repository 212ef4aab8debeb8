"""Augmentation of whole batches on the device; random numbers are a function of the stream.

``none``      the image as it is.
``minimal``   a shift of up to an eighth of the side (zero padding, random crop) and a horizontal
              flip: the paper's "minimal augmentation" for images that have no border to crop.
``extended``  a random part of 25-100 % of the area with an aspect ratio of 3/4-4/3, scaled back to
              full size, and a horizontal flip: the paper's "random scale and aspect ratio", milder
              than GoogLeNet's 8 % because small images have no detail to enlarge.

The flip belongs to both, as in the paper; it turns some digits into other shapes, so sweeps on
digit-like data choose ``none``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lars_sweep.data import random_key, splitmix64

Augmentation = Literal["none", "minimal", "extended"]

_DRAWS = 5
_AREA = (0.25, 1.0)
_ASPECT = (3 / 4, 4 / 3)


def draws(seed: int, first_sample: int, stop_sample: int) -> NDArray[np.float64]:
    """(n, 5) uniform numbers in [0, 1) for samples [first_sample, stop_sample) of the stream.

    A sample of the stream is one position of one atom of one step, so its numbers depend on neither
    rank nor micro-batch.
    """
    numbers = np.arange(first_sample * _DRAWS, stop_sample * _DRAWS)
    bits = splitmix64(random_key(seed, "augmentation"), numbers) >> np.uint64(11)
    return (bits.astype(np.float64) * 2.0**-53).reshape(-1, _DRAWS)


class Normalisation:
    """uint8 pixels to standardised numbers: (x − mean) / std per channel."""

    def __init__(
        self,
        mean: NDArray[np.float64],
        std: NDArray[np.float64],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._shift = torch.tensor(-mean / std, device=device, dtype=dtype).view(-1, 1, 1)
        self._scale = torch.tensor(1 / std, device=device, dtype=dtype).view(-1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        """(n, C, H, W) uint8 or floating point pixels to the trial's dtype, channels_last."""
        pixels = images.to(self._scale.dtype, memory_format=torch.channels_last)
        return torch.addcmul(self._shift, pixels, self._scale)


def augment(
    images: Tensor, how: Augmentation, uniform: NDArray[np.float64], dtype: torch.dtype
) -> Tensor:
    """Augment each image with its own row of ``uniform`` (see `draws`).

    Args:
        images: (n, C, H, W) uint8.
        how: the trial's augmentation.
        uniform: (n, 5) numbers in [0, 1).
        dtype: in which ``extended`` interpolates.

    Returns:
        (n, C, H, W) uint8, or ``dtype`` pixels 0 … 255 for ``extended``.
    """
    if how == "minimal":
        return _shift_and_flip(images, uniform)
    if how == "extended":
        return _rescale_and_flip(images, uniform, dtype)
    return images


def _shift_and_flip(images: Tensor, uniform: NDArray[np.float64]) -> Tensor:
    samples, channels, height, width = images.shape
    pad = -(-height // 8)
    padded = F.pad(images, (pad, pad, pad, pad))
    corner = (uniform[:, :2] * (2 * pad + 1)).astype(np.int64)
    columns = np.arange(width)
    columns = np.where(uniform[:, 2:3] < 0.5, columns, columns[::-1])
    rows = torch.from_numpy(corner[:, :1] + np.arange(height)).to(images.device)
    cols = torch.from_numpy(corner[:, 1:2] + columns).to(images.device)
    sample = torch.arange(samples, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    return padded[sample, channel, rows.view(samples, 1, -1, 1), cols.view(samples, 1, 1, -1)]


def _rescale_and_flip(images: Tensor, uniform: NDArray[np.float64], dtype: torch.dtype) -> Tensor:
    area = _AREA[0] + uniform[:, 0] * (_AREA[1] - _AREA[0])
    low, high = np.log(_ASPECT)
    aspect = np.exp(low + uniform[:, 1] * (high - low))
    # Sides as shares of the image's; a part wider or higher than the image is cut at its border.
    width = np.minimum(1, np.sqrt(area * aspect))
    height = np.minimum(1, np.sqrt(area / aspect))
    flip = np.where(uniform[:, 4] < 0.5, 1.0, -1.0)
    # grid_sample's coordinates run from -1 to 1 over the image.
    transform = np.zeros((len(uniform), 2, 3))
    transform[:, 0, 0] = width * flip
    transform[:, 1, 1] = height
    transform[:, 0, 2] = (2 * uniform[:, 2] - 1) * (1 - width)
    transform[:, 1, 2] = (2 * uniform[:, 3] - 1) * (1 - height)
    theta = torch.from_numpy(transform).to(images.device, dtype)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images.to(dtype), grid, padding_mode="border", align_corners=False)
