"""Augmentation of whole batches on the device; random numbers are a function of the stream.

``none``      the image, or its central crop where it is larger than the network's input.
``minimal``   a random crop and a horizontal flip. Images without a border to crop get one first: an
              eighth of their side, black.
``extended``  a random part of the area with an aspect ratio of 3/4-4/3, scaled to the input's size,
              and a horizontal flip. Files are cut before they are decoded, down to 8 % of their
              area as for GoogLeNet; images that come decoded down to 25 %, because small ones have
              no detail to enlarge.

The flip belongs to both, as in the paper; it turns some digits into other shapes, so sweeps on
digit-like data choose ``none``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lars_sweep.data import Dataset, random_key, splitmix64
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.feed import DeviceSource
from lars_sweep.train.numerics import Numerics

Uniform = NDArray[np.float64]
"""(n, 5) numbers in [0, 1), a row per sample: two for the shape or row and column, …, the flip."""

_DRAWS = 5
_LEAST_AREA_FILES = 0.08
_LEAST_AREA_IMAGES = 0.25
_ASPECT = (3 / 4, 4 / 3)


class Preparation:
    """From uint8 images to what the network sees, in training and in evaluation."""

    def __init__(self, trial: TrialSpec, dataset: Dataset, size: int, numerics: Numerics) -> None:
        """For a network whose input is size × size."""
        self._trial, self._size, self._dtype = trial, size, numerics.dtype
        shift, scale = (
            torch.tensor(values, device=numerics.device, dtype=numerics.dtype).view(-1, 1, 1)
            for values in (-dataset.mean / dataset.std, 1 / dataset.std)
        )
        self._shift, self._scale = shift, scale

    def fetch(
        self, source: DeviceSource, indices: NDArray[np.int64], samples: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        """Images and labels of (n,) numbers in the stream on the device, not yet augmented.

        Only the extended augmentation of files happens here: it saves decoding what is cut away.
        """
        if self._trial.augmentation == "extended" and source.decodes:
            uniform = draws(self._trial.seed, samples)
            return source.crops(indices, boxes(uniform, source.sizes(indices)), self._size)
        return source.batch(indices)

    def for_training(
        self, samples: NDArray[np.int64], source: DeviceSource, images: Tensor
    ) -> Tensor:
        """What `fetch` gave, augmented and normalised, channels_last."""
        how = self._trial.augmentation
        if how == "none":
            return self.for_evaluation(images)
        uniform = draws(self._trial.seed, samples)
        if how == "minimal":
            return self._normalised(shift_and_flip(images, self._size, uniform))
        if source.decodes:
            flip = torch.from_numpy(uniform[:, 4] < 0.5).to(images.device).view(-1, 1, 1, 1)
            return self._normalised(torch.where(flip, images, images.flip(3)))
        return self._normalised(rescale_and_flip(images.to(self._dtype), self._size, uniform))

    def for_evaluation(self, images: Tensor) -> Tensor:
        """The central crop, normalised, channels_last."""
        margin = (images.shape[2] - self._size) // 2
        centre = slice(margin, margin + self._size)
        return self._normalised(images[:, :, centre, centre])

    def _normalised(self, images: Tensor) -> Tensor:
        pixels = images.to(self._dtype, memory_format=torch.channels_last)
        return torch.addcmul(self._shift, pixels, self._scale)


def draws(seed: int, samples: NDArray[np.int64]) -> Uniform:
    """Uniform numbers for (n,) samples of the stream.

    A sample of the stream is one position of one atom of one step, so its numbers depend on neither
    rank nor micro-batch.
    """
    numbers = samples[:, None] * _DRAWS + np.arange(_DRAWS)
    bits = splitmix64(random_key(seed, "augmentation"), numbers) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53


def shift_and_flip(images: Tensor, size: int, uniform: Uniform) -> Tensor:
    """A size × size crop of each (n, C, H, W) image, black outside of images of just that size."""
    samples, _, height, _ = images.shape
    pad = -(-height // 8) if height == size else 0
    padded = F.pad(images, (pad, pad, pad, pad))
    places = height + 2 * pad - size + 1
    top, left = (uniform[:, :2] * places).astype(np.int64).T
    # A mirrored crop is a crop of the mirrored image. All crops there are, as a view: the chosen
    # ones are copied row by row, not pixel by pixel.
    mirrored = (uniform[:, 4] >= 0.5).astype(np.int64)
    left = np.where(mirrored, places - 1 - left, left)
    both = torch.stack((padded, padded.flip(3)))
    every = both.unfold(3, size, 1).unfold(4, size, 1)
    numbers = (mirrored, np.arange(samples), slice(None), top, left)
    if images.device.type == "cpu":
        # Three times as fast as torch's indexing.
        return torch.from_numpy(every.numpy()[numbers])
    return every[
        tuple(
            torch.from_numpy(number).to(images.device) if isinstance(number, np.ndarray) else number
            for number in numbers
        )
    ]


def boxes(uniform: Uniform, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, 4) left, top, right, bottom of random parts of files of (n, 2) height and width."""
    height, width = sizes.T.astype(np.float64)
    share = _LEAST_AREA_FILES + uniform[:, 0] * (1 - _LEAST_AREA_FILES)
    # A part that would be wider or higher than the file is cut at its border.
    across = np.minimum(width, np.sqrt(share * height * width * _aspects(uniform)))
    down = np.minimum(height, np.sqrt(share * height * width / _aspects(uniform)))
    left, top = uniform[:, 2] * (width - across), uniform[:, 3] * (height - down)
    corners = np.stack([left, top, left + across, top + down], axis=1)
    corners[:, 2:] = np.minimum(corners[:, 2:], sizes[:, ::-1])  # rounding may exceed it
    return corners


def rescale_and_flip(images: Tensor, size: int, uniform: Uniform) -> Tensor:
    """Random parts of (n, C, H, H) floating-point images, bilinear, as size × size."""
    area = _LEAST_AREA_IMAGES + uniform[:, 0] * (1 - _LEAST_AREA_IMAGES)
    width = np.minimum(1, np.sqrt(area * _aspects(uniform)))
    height = np.minimum(1, np.sqrt(area / _aspects(uniform)))
    # grid_sample's coordinates run from -1 to 1 over the image.
    transform = np.zeros((len(uniform), 2, 3))
    transform[:, 0, 0] = width * np.where(uniform[:, 4] < 0.5, 1.0, -1.0)
    transform[:, 1, 1] = height
    transform[:, 0, 2] = (2 * uniform[:, 2] - 1) * (1 - width)
    transform[:, 1, 2] = (2 * uniform[:, 3] - 1) * (1 - height)
    theta = torch.from_numpy(transform).to(images.device, images.dtype)
    grid = F.affine_grid(theta, [*images.shape[:2], size, size], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _aspects(uniform: Uniform) -> NDArray[np.float64]:
    low, high = _ASPECT
    aspects: NDArray[np.float64] = low * (high / low) ** uniform[:, 1]
    return aspects
