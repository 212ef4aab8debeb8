"""Fashion-MNIST from its four IDX files, gzipped or raw."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path

import numpy as np

from lars_sweep.data.dataset import ArraySource, Dataset, Images, dataset_in_memory
from lars_sweep.data.places import find_files
from lars_sweep.errors import DataError

NAME = "fashion-mnist"
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
NUM_CLASSES = 10
SIZE = 28

# sha256 of the *uncompressed* files: Debian packs them anew, and plain MNIST has the same names.
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
SAMPLES = {"train": 60_000, "t10k": 10_000}


def load_fashion_mnist(directory: Path | None = None) -> Dataset:
    """60,000 training and 10,000 test images, (1, 28, 28), 10 classes.

    Raises:
        DataError: the files are nowhere, or one is truncated, corrupt or of another data set.
    """
    found = find_files(
        NAME,
        [(name, f"{name}.gz") for name in SHA256],
        directory,
        system=DEBIAN,
        ways=(
            "install Debian's package: apt-get install dataset-fashion-mnist",
            "or download it: lars-sweep data get fashion-mnist [--directory DIR]",
            "or name the directory that holds the four IDX files (.gz or raw): --data-dir DIR",
        ),
    )
    train, test = (_part(part, samples, found) for part, samples in SAMPLES.items())
    return dataset_in_memory(NAME, train, test, num_classes=NUM_CLASSES)


def read_idx(path: Path, shape: tuple[int, ...], sha256: str) -> Images:
    """The array of an IDX file of unsigned bytes (``.gz`` or raw).

    Raises:
        DataError: unreadable, or not of this shape, or not the published content.
    """
    content = read_maybe_gzip(path)
    header = bytes((0, 0, 8, len(shape))) + b"".join(n.to_bytes(4, "big") for n in shape)
    expected = len(header) + int(np.prod(shape))
    if len(content) != expected or not content.startswith(header):
        raise DataError(
            f"{path}: expected an IDX file of {expected:,} bytes (uncompressed) holding "
            f"{' × '.join(map(str, shape))} unsigned bytes, found {len(content):,} bytes that "
            f"start with {content[:4].hex()}; fetch it again: lars-sweep data get {NAME}"
        )
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{path}: not a file of {NAME}: expected sha256 {sha256} of the uncompressed content, "
            f"found {found} (plain MNIST has files of the same names); "
            f"fetch it again: lars-sweep data get {NAME}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=len(header)).reshape(shape)


def read_maybe_gzip(path: Path) -> bytes:
    """The content of a file, unpacked if its name ends in ``.gz``.

    Raises:
        DataError: unreadable or truncated.
    """
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); it is truncated or corrupt: fetch it again: "
            f"lars-sweep data get {NAME}"
        ) from error


def _part(part: str, samples: int, found: dict[str, Path]) -> ArraySource:
    images, labels = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
    pixels = read_idx(found[images], (samples, SIZE, SIZE), SHA256[images])
    classes = read_idx(found[labels], (samples,), SHA256[labels])
    return ArraySource(pixels[:, None], classes.astype(np.int64))
