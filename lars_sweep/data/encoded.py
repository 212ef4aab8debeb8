"""A part of a data set whose images are JPEG files, decoded when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from lars_sweep.data.dataset import Images, Indices, Labels
from lars_sweep.data.jpeg import decode_box, decode_square
from lars_sweep.data.workers import in_threads
from lars_sweep.errors import DataError

_AT_ONCE = 8
"""Images of one task: handing one over costs some 5 % of decoding it."""


class Reader(Protocol):
    """Where the bytes of the files come from."""

    def announce(self, rows: Sequence[int]) -> None:
        """These rows are about to be read: let the storage begin where that is possible."""

    def read(self, row: int) -> bytes:
        """The JPEG file of a row of the index.

        Raises:
            DataError: missing, or not as long as the index says.
        """

    def where(self, row: int) -> str:
        """What to call this image in a message."""


class EncodedSource:
    """JPEG files, decoded by the threads of this process.

    Attributes:
        labels: (N,) int64.
        sizes: (N, 2) int64, height and width of each file in pixels.
        side: height and width of `images`.
    """

    def __init__(
        self,
        reader: Reader,
        rows: Indices,
        labels: Labels,
        sizes: npt.NDArray[np.int64],
        side: int,
    ) -> None:
        self.labels = labels
        self.sizes = sizes
        self.side = side
        self._reader = reader
        self._rows = rows

    def images(self, indices: Indices) -> Images:
        """Whole images scaled to side × side (the paper's "scale to 256 × 256").

        Args:
            indices: (n,) positions.

        Returns:
            (n, 3, side, side) uint8, RGB, laid out channels-last in memory.

        Raises:
            DataError: names the file that cannot be read or decoded.
        """
        return self._decoded(
            indices, self.side, lambda _, file, out: decode_square(file, self.side, out)
        )

    def crops(self, indices: Indices, boxes: npt.NDArray[np.float64], size: int) -> Images:
        """Rectangles of the files, scaled to size × size in one resize (extended augmentation).

        Args:
            indices: (n,) positions.
            boxes: (n, 4) left, top, right, bottom in pixels of the file (see `sizes`).
            size: side of the result in pixels.

        Returns:
            (n, 3, size, size) uint8, RGB, laid out channels-last in memory.

        Raises:
            DataError: names the file that cannot be read or decoded, or its box.
        """

        def crop(position: int, file: bytes, out: Images) -> None:
            left, top, right, bottom = boxes[position].tolist()
            out[...] = decode_box(file, (left, top, right, bottom), size)

        return self._decoded(indices, size, crop)

    def _decoded(
        self, indices: Indices, size: int, decode: Callable[[int, bytes, Images], object]
    ) -> Images:
        out = np.empty((len(indices), size, size, 3), dtype=np.uint8)
        rows: list[int] = self._rows[indices].tolist()
        self._reader.announce(rows)

        def one(position: int) -> None:
            row = rows[position]
            file = self._reader.read(row)
            try:
                decode(position, file, out[position])
            except ValueError as error:
                raise DataError(
                    f"{self._reader.where(row)}: cannot be decoded: {error}; restore the file "
                    "or move it out of its class folder"
                ) from error

        def several(first: int) -> None:
            for position in range(first, min(first + _AT_ONCE, len(indices))):
                one(position)

        for _ in in_threads(several, range(0, len(indices), _AT_ONCE)):
            pass
        return out.transpose(0, 3, 1, 2)
