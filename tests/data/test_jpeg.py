from __future__ import annotations

import io

import numpy as np
import pytest
from image_files import jpeg
from PIL import Image

from lars_sweep.data.jpeg import decode_box, decode_square, encode, jpeg_size


def pillow(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def far(ours: np.ndarray, theirs: Image.Image) -> float:
    return float(np.abs(ours.astype(int) - np.asarray(theirs).astype(int)).mean())


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_colour_grey_and_ink_images_decode_as_pillow_does(mode: str) -> None:
    content = jpeg(60, 70, mode=mode)
    assert jpeg_size(content) == (60, 70)
    theirs = pillow(content).resize((64, 64), Image.Resampling.BILINEAR)
    assert far(decode_square(content, 64), theirs) < 0.6


def test_large_images_are_decoded_scaled_and_stay_close() -> None:
    content = jpeg(1200, 1700)
    theirs = pillow(content).resize((256, 256), Image.Resampling.BILINEAR)
    assert far(decode_square(content, 256), theirs) < 1


def test_an_image_of_the_right_size_is_not_resized() -> None:
    content = jpeg(64, 64)
    assert far(decode_square(content, 64), pillow(content)) < 0.6


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("shape", [(64, 64), (60, 70), (1200, 1700)])
def test_pixels_go_where_they_are_wanted(shape: tuple[int, int], mode: str) -> None:
    content = jpeg(*shape, mode=mode)
    batch = np.full((3, 64, 64, 3), 7, dtype=np.uint8)
    decode_square(content, 64, batch[1])
    assert np.array_equal(batch[1], decode_square(content, 64))
    assert np.all(batch[[0, 2]] == 7)


@pytest.mark.parametrize("side", [600, 2400])
def test_a_box_is_that_part_of_the_image(side: int) -> None:
    content = jpeg(side, side + 100)
    box = (side * 0.1, side * 0.25, side * 0.8, side * 0.65)
    theirs = pillow(content).resize((128, 128), Image.Resampling.BILINEAR, box=box)
    assert far(decode_box(content, box, 128), theirs) < 1


def test_the_whole_as_a_box_is_the_whole() -> None:
    content = jpeg(300, 200)
    assert np.array_equal(
        decode_box(content, (0.0, 0.0, 200.0, 300.0), 64), decode_square(content, 64)
    )


@pytest.mark.parametrize("box", [(0, 0, 71, 60), (-1, 0, 5, 5), (3, 3, 3, 9), (0, 9, 5, 8)])
def test_a_box_outside_or_empty_is_refused(box: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="is not inside 70 × 60"):
        decode_box(jpeg(60, 70), box, 16)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "starts with nothing"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "starts with 89504e47"),
        (jpeg(60, 70)[:-2], "no end-of-image"),
        (jpeg(60, 70)[:700], "no end-of-image"),
        (b"\xff\xd8\xff\xd9", "."),
    ],
)
def test_what_is_no_whole_jpeg_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        jpeg_size(content)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_file() -> None:
    whole, thumbnail = jpeg(60, 70), jpeg(16, 16)
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = whole[:2] + segment + whole[2:]
    assert jpeg_size(with_thumbnail) == (60, 70)
    with pytest.raises(ValueError, match="truncated"):
        jpeg_size(with_thumbnail[:-40])


def test_stray_bytes_after_the_end_are_tolerated() -> None:
    assert jpeg_size(jpeg(60, 70) + bytes(30)) == (60, 70)


def test_encoding_states_its_quality() -> None:
    pixels = decode_square(jpeg(64, 64), 64)
    assert len(encode(pixels, 30)) < len(encode(pixels, 95))
    assert far(decode_square(encode(pixels, 95), 64), Image.fromarray(pixels)) < 2
