"""The table that an ImageNet-like data set is read by: one row per image, and the identity.

The identity is sha256 over how files become pixels (`DECODING` and the side), the class names in
label order, and one line per image, in order: part, class, name, length and sha256 of the file. A
tree and a pack that keeps the files bit for bit have the same identity.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lars_sweep.data.dataset import DataInfo
from lars_sweep.data.jpeg import DECODING
from lars_sweep.errors import DataError

_LOG = logging.getLogger(__name__)
FORMAT = 1
PARTS = ("train", "val")
SIDE = 256
"""The paper's networks see crops of images that were scaled to 256 × 256."""
MAX_BAD_SHARE = 0.001
"""Files that are no whole JPEGs are left out up to this share, refused above it."""

SCHEMA = pa.schema(
    [
        pa.field("part", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("bytes", pa.int64(), nullable=False),
        pa.field("sha256", pa.binary(32), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),  # 0 in a tree
        pa.field("offset", pa.int64(), nullable=False),  # bytes from the start of the shard
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BadFile:
    """A file that is no whole JPEG."""

    path: str
    """Relative to the tree."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageIndex:
    """The table and what is known about it as a whole."""

    info: DataInfo
    classes: tuple[str, ...]
    """Folder names in label order."""
    bad: tuple[BadFile, ...]
    """Files left out."""
    key: str
    """What the table was made from; another key means that it must be made anew."""
    table: pa.Table


def identity(table: pa.Table, classes: Sequence[str], side: int) -> str:
    """16 hex digits, as the head of this file says."""
    digest = hashlib.sha256(f"{DECODING}; {side} × {side}\n{json.dumps(classes)}\n".encode())
    for batch in table.to_batches(max_chunksize=1 << 16):
        columns = (batch[name].to_pylist() for name in ("part", "label", "name", "bytes", "sha256"))
        lines = (
            f"{part}/{classes[label]}/{name}\t{size}\t{sha.hex()}\n"
            for part, label, name, size, sha in zip(*columns, strict=True)
        )
        digest.update("".join(lines).encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def check_bad(bad: Sequence[BadFile], files: int, max_share: float, where: Path) -> None:
    """Warn of files that are left out; refuse a data set with too many of them.

    Raises:
        DataError: counts them and names the first five.
    """
    if not bad:
        return
    named = "; ".join(f"{file.path}: {file.reason}" for file in bad[:5])
    more = f"; and {len(bad) - 5:,} more" if len(bad) > 5 else ""
    found = f"{len(bad):,} of {files:,} files are no whole JPEGs: {named}{more}"
    if len(bad) > max_share * files:
        raise DataError(
            f"{where}: {found}; allowed are {max_share:.2%}: restore them from the archive, or "
            "move them out of their class folders"
        )
    _LOG.warning("%s: %s; left out", where, found)


def make_index(
    tables: Sequence[pa.Table],
    classes: Sequence[str],
    bad: Sequence[BadFile],
    *,
    side: int,
    key: str,
) -> ImageIndex:
    """Join the rows of all images, in order, with what follows from them.

    Raises:
        DataError: a part has no image at all.
    """
    table = pa.concat_tables(tables)
    samples = {part: pc.sum(pc.equal(table["part"], part)).as_py() or 0 for part in PARTS}
    if not all(samples.values()):
        raise DataError(f"imagenet: no usable image in a part: {samples}; unpack the archive again")
    info = DataInfo(
        name="imagenet",
        content_id=identity(table, classes, side),
        num_classes=len(classes),
        train_samples=samples["train"],
        test_samples=samples["val"],
        channels=3,
        image_size=side,
    )
    return ImageIndex(info=info, classes=tuple(classes), bad=tuple(bad), key=key, table=table)


def write_index(index: ImageIndex, path: Path) -> None:
    """Write the index so that a reader sees the whole of it or nothing."""
    meta = {
        "format": FORMAT,
        "decoding": DECODING,
        "info": asdict(index.info),
        "classes": index.classes,
        "bad": [asdict(file) for file in index.bad],
        "key": index.key,
    }
    table = index.table.replace_schema_metadata({"lars_sweep": json.dumps(meta)})
    write_table(table, path)


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet under a temporary name, make it durable, then rename it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_meta(path: Path) -> dict[str, Any] | None:
    """The metadata of an index file; None where there is no file, or one of another format.

    Raises:
        DataError: the file is damaged.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(path, error) from error
    meta: dict[str, Any] = json.loads(metadata.get(b"lars_sweep", b"{}"))
    return meta if (meta.get("format"), meta.get("decoding")) == (FORMAT, DECODING) else None


def read_index(path: Path, meta: dict[str, Any]) -> ImageIndex:
    """The index whose metadata was read before.

    Raises:
        DataError: the file is damaged.
    """
    try:
        table = pq.read_table(path, schema=SCHEMA)
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(path, error) from error
    return ImageIndex(
        info=DataInfo(**meta["info"]),
        classes=tuple(meta["classes"]),
        bad=tuple(BadFile(**file) for file in meta["bad"]),
        key=meta["key"],
        table=table,
    )


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: the index of the images is damaged ({error}); delete it and retry")
