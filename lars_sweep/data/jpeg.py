"""JPEG files to arrays: libjpeg-turbo decodes (simplejpeg), Pillow resizes; both release the GIL.

An image is decoded at 1/2, 3/8, 1/4 or 1/8 of its size (libjpeg's DCT scaling) where that is still
at least the size asked for, then resized with Pillow's antialiased bilinear filter. `DECODING` says
so in the data identity: other pixels would be other data.
"""

from __future__ import annotations

import math

import numpy as np
import simplejpeg
from PIL import Image

from lars_sweep.data.dataset import Images

DECODING = "libjpeg DCT scaling by 1/2 or less, bilinear antialiased, RGB, v1"
_END_OF_IMAGE = b"\xff\xd9"
_START_OF_SCAN = b"\xff\xda"
# Other scales than these (5/8, 3/4, 7/8) have no vector code and cost more than they save.
_MIN_FACTOR = 2


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Height and width of a JPEG file that has a header and an end; pixels are not decoded.

    Raises:
        ValueError: not a JPEG file, or a truncated one.
    """
    if not content.startswith(b"\xff\xd8"):
        raise ValueError(f"not a JPEG file (starts with {content[:4].hex() or 'nothing'})")
    # Compressed data never holds this marker, a thumbnail in the header may: look behind the scan.
    if content.rfind(_END_OF_IMAGE) < content.rfind(_START_OF_SCAN):
        raise ValueError("truncated (no end-of-image marker)")
    height, width, _, _ = simplejpeg.decode_jpeg_header(content, strict=False)
    return height, width


def decode_square(content: bytes, side: int, out: Images | None = None) -> Images:
    """The whole image, scaled to ``side`` × ``side`` whatever its aspect ratio.

    Args:
        content: a JPEG file.
        side: height and width asked for, in pixels.
        out: where to put the result; by default an array of its own.

    Returns:
        (side, side, 3) uint8, RGB.

    Raises:
        ValueError: cannot be decoded.
    """
    if out is None:
        out = np.empty((side, side, 3), dtype=np.uint8)
    pixels = _decode(content, side, side, out)
    if pixels.shape != out.shape:
        image = Image.fromarray(pixels)
        out[...] = np.asarray(image.resize((side, side), Image.Resampling.BILINEAR))
    elif not np.may_share_memory(pixels, out):
        out[...] = pixels
    return out


def decode_box(content: bytes, box: tuple[float, float, float, float], size: int) -> Images:
    """A rectangle of the image, scaled to ``size`` × ``size``.

    Args:
        content: a JPEG file.
        box: left, top, right, bottom in pixels of the file, fractions allowed.
        size: side of the result in pixels.

    Returns:
        (size, size, 3) uint8, RGB.

    Raises:
        ValueError: cannot be decoded, or the box is empty or reaches outside.
    """
    height, width = jpeg_size(content)
    left, top, right, bottom = box
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(f"box {box} (left, top, right, bottom) is not inside {width} × {height}")
    pixels = _decode(
        content,
        min(height, math.ceil(size * height / (bottom - top))),
        min(width, math.ceil(size * width / (right - left))),
    )
    down, across = pixels.shape[0] / height, pixels.shape[1] / width
    scaled = (left * across, top * down, right * across, bottom * down)
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=scaled))


def encode(pixels: Images, quality: int) -> bytes:
    """(H, W, 3) uint8 RGB to a JPEG file with 4:2:0 chroma subsampling."""
    content: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels), quality=quality, colorsubsampling="420"
    )
    return content


def _decode(content: bytes, min_height: int, min_width: int, out: Images | None = None) -> Images:
    """(H, W, 3) uint8 RGB, H and W at least the minima where the file has as many.

    Recoverable defects (stray bytes between markers, found in ImageNet) are tolerated. Pixels are
    written into ``out`` where the file has as many as that: a copy would cost 5 % of the decoding.
    """
    height, width, colorspace, _ = simplejpeg.decode_jpeg_header(content, strict=False)
    inks = colorspace in ("CMYK", "YCCK")
    fits = out is not None and not inks and out.shape == (height, width, 3)
    pixels: Images = simplejpeg.decode_jpeg(
        content,
        colorspace="CMYK" if inks else "RGB",
        min_height=min_height,
        min_width=min_width,
        min_factor=_MIN_FACTOR,
        fastdct=False,
        fastupsample=False,
        strict=False,
        buffer=out if fits else None,
    )
    if not inks:
        return pixels
    # Adobe's convention, the only one met in practice: inks are stored inverted.
    light = pixels.astype(np.uint16)
    return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
