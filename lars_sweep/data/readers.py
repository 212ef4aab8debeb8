"""Where the JPEG files of an index come from: a folder tree, or the shards of a pack."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from pathlib import Path

from lars_sweep.data.image_index import ImageIndex
from lars_sweep.errors import DataError


class TreeReader:
    """Files of a folder tree."""

    def __init__(self, root: Path, index: ImageIndex) -> None:
        self._root = root
        self._classes = index.classes
        self._parts = index.table["part"].combine_chunks()
        self._labels = index.table["label"].to_numpy()
        self._names = index.table["name"].combine_chunks()
        self._bytes = index.table["bytes"].to_numpy()

    def announce(self, rows: Sequence[int]) -> None:
        """Nothing: to announce a file is to open it, which is half of reading it."""

    def read(self, row: int) -> bytes:
        """The file; DataError if it is gone or not as long as when the index was made."""
        path = self.where(row)
        try:
            with open(path, "rb") as file:
                content = file.read()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); restore it") from error
        if len(content) != self._bytes[row]:
            raise DataError(
                f"{path}: expected {self._bytes[row]:,} bytes, found {len(content):,}; it changed "
                "after the index of the images was made: restore it, or delete the index and plan "
                "again (the changed images are another data set)"
            )
        return content

    def where(self, row: int) -> str:
        """Its path."""
        folder = self._classes[self._labels[row]]
        return f"{self._root}/{self._parts[row].as_py()}/{folder}/{self._names[row].as_py()}"


class ShardReader:
    """Byte ranges of the shards of a pack; all shards stay open."""

    def __init__(self, shards: Sequence[Path], index: ImageIndex) -> None:
        self._shards = shards
        self._names = index.table["name"].combine_chunks()
        self._shard = index.table["shard"].to_numpy()
        self._offset = index.table["offset"].to_numpy()
        self._bytes = index.table["bytes"].to_numpy()
        self._files: list[int] = []
        weakref.finalize(self, _close, self._files)
        for number, path in enumerate(shards):
            rows = self._shard == number
            self._open(path, int(self._bytes[rows].sum()))

    def _open(self, path: Path, expected: int) -> None:
        try:
            self._files.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise DataError(
                f"{path}: cannot be opened ({error.strerror}); the pack lacks a shard: remove the "
                "pack and run lars-sweep data pack again"
            ) from error
        found = os.fstat(self._files[-1]).st_size
        if found != expected:
            raise DataError(
                f"{path}: expected {expected:,} bytes, found {found:,}; the shard is truncated: "
                "remove the pack and run lars-sweep data pack again"
            )

    def announce(self, rows: Sequence[int]) -> None:
        """Let the system read these ahead, many at once, while the first are being decoded."""
        for row in rows:
            file, offset = self._files[self._shard[row]], int(self._offset[row])
            os.posix_fadvise(file, offset, int(self._bytes[row]), os.POSIX_FADV_WILLNEED)

    def read(self, row: int) -> bytes:
        """The file; DataError if the disk fails."""
        try:
            file = self._files[self._shard[row]]
            return os.pread(file, int(self._bytes[row]), int(self._offset[row]))
        except OSError as error:
            raise DataError(f"{self.where(row)}: cannot be read ({error.strerror})") from error

    def where(self, row: int) -> str:
        """Shard and name of the file."""
        return f"{self._shards[self._shard[row]]}: {self._names[row].as_py()}"


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)
