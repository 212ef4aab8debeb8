"""Augmentation against per-image oracles."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lars_sweep.train.augment import boxes, draws, rescale_and_flip, shift_and_flip


def some_images(samples: int, channels: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    shape = (samples, channels, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@given(
    first=st.integers(0, 10**9),
    cuts=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
)
def test_draws_do_not_depend_on_how_the_stream_is_cut(
    first: int, cuts: list[int], seed: int
) -> None:
    edges = first + np.concatenate([[0], np.cumsum(cuts)])
    pieces = [draws(seed, np.arange(a, b)) for a, b in itertools.pairwise(edges)]
    np.testing.assert_array_equal(np.concatenate(pieces), draws(seed, np.arange(first, edges[-1])))


def test_draws_are_uniform_and_differ_between_seeds() -> None:
    numbers = draws(1, np.arange(20_000))
    assert numbers.min() >= 0
    assert numbers.max() < 1
    # Mean 1/2 and variance 1/12 within five standard errors of 20,000 draws.
    np.testing.assert_allclose(numbers.mean(0), 0.5, atol=5 * (1 / 12 / 20_000) ** 0.5)
    np.testing.assert_allclose(numbers.var(0), 1 / 12, atol=5 * (1 / 180 / 20_000) ** 0.5)
    assert not np.array_equal(numbers, draws(2, np.arange(20_000)))


@pytest.mark.parametrize(("side", "size"), [(8, 8), (28, 28), (32, 32), (40, 32), (256, 227)])
def test_shift_and_flip_is_pad_crop_flip(side: int, size: int) -> None:
    images, uniform = some_images(9, 2, side), draws(0, np.arange(9))
    uniform[0], uniform[1] = 0.0, np.nextafter(1.0, 0.0)
    pad = {8: 1, 28: 4, 32: 4}.get(side, 0)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    places = side + 2 * pad - size + 1
    for image, whole, u in zip(shift_and_flip(images, size, uniform), padded, uniform, strict=True):
        top, left = int(u[0] * places), int(u[1] * places)
        crop = whole[:, top : top + size, left : left + size]
        expected = crop if u[4] < 0.5 else crop[:, :, ::-1]
        np.testing.assert_array_equal(image.numpy(), expected)


def test_rescale_of_the_whole_image_is_the_image_or_its_mirror() -> None:
    images = some_images(2, 3, 16).double()
    # Area 1 and aspect 1: low · (high/low)^u = 1 at u = ½ for the limits 3/4 and 4/3.
    uniform = np.array([[1.0, 0.5, 0.3, 0.9, 0.2], [1.0, 0.5, 0.3, 0.9, 0.7]])
    out = rescale_and_flip(images, 16, uniform)
    torch.testing.assert_close(out[0], images[0], rtol=0, atol=1e-9)
    torch.testing.assert_close(out[1], images[1].flip(2), rtol=0, atol=1e-9)


def test_rescale_of_a_ramp_shows_the_part_that_was_cut() -> None:
    side = 64
    ramp = (torch.arange(side, dtype=torch.float64) + 0.5).expand(1, 1, side, side)
    uniform = np.array([[0.0, 0.5, 0.25, 0.0, 0.1]])
    row = rescale_and_flip(ramp, side, uniform)[0, 0, 0]
    # A quarter of the area: half of the width, from a quarter of the free half on.
    left = 0.25 * side / 2
    expected = left + (torch.arange(side, dtype=torch.float64) + 0.5) / 2
    torch.testing.assert_close(row, expected, rtol=0, atol=1e-9)


@given(height=st.integers(1, 3000), width=st.integers(1, 3000), seed=st.integers(0, 1000))
def test_boxes_lie_inside_and_have_the_area_and_aspect_asked_for(
    height: int, width: int, seed: int
) -> None:
    uniform = draws(seed, np.arange(8))
    uniform[0] = np.nextafter(1.0, 0.0)
    left, top, right, bottom = boxes(uniform, np.tile([height, width], (8, 1))).T
    assert np.all((left >= 0) & (top >= 0) & (right <= width) & (bottom <= height))
    area = (right - left) * (bottom - top)
    cut = np.isclose(right - left, width) | np.isclose(bottom - top, height)
    np.testing.assert_allclose(
        area[~cut], (0.08 + 0.92 * uniform[~cut, 0]) * height * width, rtol=1e-9
    )
    aspect = (right - left) / (bottom - top)
    assert np.all(cut | ((aspect > 0.7499) & (aspect < 1.3334)))
