"""``lars-sweep data get``: download a data set, checked before it counts as there."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path

from lars_sweep.data import fashion_mnist
from lars_sweep.data.dataset import Progress
from lars_sweep.data.places import data_home
from lars_sweep.errors import DataError

_CHUNK = 1 << 18
_TIMEOUT_S = 30.0


def get_dataset(
    name: str,
    directory: Path | None = None,
    *,
    progress: Progress | None = None,
    url: str = fashion_mnist.URL,
) -> Path:
    """Download what is missing of a data set; calling it again is harmless.

    Args:
        name: ``fashion-mnist``; no other set is downloaded.
        directory: where to put its files; by default a place where `load_dataset` looks.
        progress: called after every chunk.
        url: a mirror of the official address, ending in ``/``.

    Returns:
        The directory that holds the files.

    Raises:
        DataError: not a set that is downloaded, no connection, wrong content, disk full.
    """
    if name != fashion_mnist.NAME:
        raise DataError(
            f"lars-sweep data get downloads {fashion_mnist.NAME} only, got {name!r}; digits and "
            "synthetic need no files, and the error of any other set says where to get it"
        )
    target = directory if directory is not None else data_home() / name
    for file, sha256 in fashion_mnist.SHA256.items():
        path = target / f"{file}.gz"
        if not path.is_file() or _unpacked_sha256(path) != sha256:
            try:
                target.mkdir(parents=True, exist_ok=True)
                _download(url + path.name, path, sha256, progress)
            except OSError as error:
                raise DataError(
                    f"{path}: cannot be written: {error}; free space, or name another directory: "
                    f"lars-sweep data get {name} --directory DIR"
                ) from error
    return target


def _download(url: str, path: Path, sha256: str, progress: Progress | None) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            for chunk, done, total in _chunks(url):
                file.write(chunk)
                if progress is not None:
                    progress(path.name, done, total)
        found = _unpacked_sha256(Path(temporary))
        if found != sha256:
            raise DataError(
                f"{url}: expected content of sha256 {sha256} (uncompressed), found {found}; the "
                "transfer was cut or the server holds something else: try again, or install "
                "Debian's dataset-fashion-mnist"
            )
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _chunks(url: str) -> Iterator[tuple[bytes, int, int | None]]:
    """Pieces of a file with the bytes done and the total, where the server says it."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            length = response.headers.get("Content-Length")
            total, done = (int(length) if length else None), 0
            while chunk := response.read(_CHUNK):
                done += len(chunk)
                yield chunk, done, total
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        raise DataError(
            f"{url}: download failed: {error}; try again with a connection, install Debian's "
            "package (apt-get install dataset-fashion-mnist), or copy the four IDX files to a "
            "directory and name it: --data-dir DIR"
        ) from error


def _unpacked_sha256(path: Path) -> str:
    """sha256 of the uncompressed content, or a word that says why there is none."""
    try:
        return hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    except (OSError, EOFError, zlib.error):
        return "no whole gzip file"
