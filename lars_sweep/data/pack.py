"""``lars-sweep data pack``: an ImageNet-like tree in a few large files.

A pack is a directory: ``pack.json`` (what it was made from), ``shard-00000.jpegs`` … (JPEG files
end to end), ``index.parquet`` (one row per image with shard, offset, length and sha256). It is made
shard by shard; a shard counts as done when its rows (``shard-00000.parquet``) lie beside it, so an
interrupted pack goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from lars_sweep.data.dataset import DataInfo, Progress
from lars_sweep.data.image_index import (
    FORMAT,
    MAX_BAD_SHARE,
    SCHEMA,
    SIDE,
    BadFile,
    ImageIndex,
    check_bad,
    make_index,
    read_index,
    read_meta,
    write_index,
    write_table,
)
from lars_sweep.data.image_tree import Tree, TreeFile, examine, list_files, open_tree
from lars_sweep.data.jpeg import decode_square, encode
from lars_sweep.data.readers import ShardReader
from lars_sweep.data.workers import in_threads
from lars_sweep.errors import DataError

INDEX_NAME = "index.parquet"
PLAN_NAME = "pack.json"
_SHARD_FILES = 8192  # about 0.9 GB of ImageNet's files


def pack_dataset(
    source: Path,
    out: Path,
    mode: Literal["bytes", "resized"] = "bytes",
    *,
    side: int | None = None,
    quality: int | None = None,
    progress: Progress | None = None,
    shard_files: int = _SHARD_FILES,
    max_bad_share: float = MAX_BAD_SHARE,
) -> DataInfo:
    """Pack a tree; called again it goes on where it was interrupted.

    Args:
        source: the tree, ``train/<class>/*.JPEG`` and ``val/<class>/*.JPEG``.
        out: the directory of the pack.
        mode: ``bytes`` keeps every file bit for bit: the same data set, the same content id.
            ``resized`` scales to side × side and encodes anew: another data set.
        side: ``resized`` only, pixels (default 256).
        quality: ``resized`` only, JPEG quality 1 … 100 (default 90).
        progress: called with ("packing images", done, total).
        shard_files: images in one shard.
        max_bad_share: share of files that may be no whole JPEGs; they are left out.

    Returns:
        What the pack holds.

    Raises:
        DataError: the tree is not as it must be, ``out`` holds another pack, or the disk is full.
    """
    tree = open_tree(source)
    files = list_files(tree)
    plan = _plan(mode, side, quality, len(files), shard_files, tree)
    try:
        _claim(out, plan)
        meta = read_meta(out / INDEX_NAME)
        if meta is not None:
            return DataInfo(**meta["info"])
        tables = []
        for shard in range(plan.shards):
            start = shard * shard_files
            tables.append(_shard(out, shard, files[start : start + shard_files], plan))
            if progress is not None:
                progress("packing images", min(start + shard_files, len(files)), len(files))
        bad = [BadFile(**file) for table in tables for file in _bad_of(table)]
        check_bad(bad, len(files), max_bad_share, source)
        index = make_index(tables, tree.classes, bad, side=plan.side, key=tree.key)
        write_index(index, out / INDEX_NAME)
        for shard in range(plan.shards):
            _rows_path(out, shard).unlink()
    except OSError as error:
        raise DataError(
            f"{out}: cannot be written ({error.strerror}); the shards that are whole are kept: "
            "free space and run the same command again"
        ) from error
    return index.info


def open_pack(directory: Path) -> tuple[ImageIndex, ShardReader]:
    """Index and reader of a whole pack.

    Raises:
        DataError: the pack is unfinished, damaged, or of another version.
    """
    index = read_index(directory / INDEX_NAME, pack_meta(directory))
    plan = json.loads((directory / PLAN_NAME).read_text())
    shards = [_shard_path(directory, shard) for shard in range(plan["shards"])]
    return index, ShardReader(shards, index)


def is_pack(directory: Path) -> bool:
    """Whether a directory holds a pack, whole or not."""
    return (directory / PLAN_NAME).is_file()


def pack_meta(directory: Path) -> dict[str, Any]:
    """The metadata of a pack's index.

    Raises:
        DataError: the pack is unfinished or of another version.
    """
    meta = read_meta(directory / INDEX_NAME)
    if meta is None:
        raise DataError(
            f"{directory}: this pack is unfinished, or was made for another version of lars-sweep; "
            "run the same lars-sweep data pack again, or remove it first"
        )
    return meta


def verify_pack(directory: Path, *, progress: Progress | None = None) -> int:
    """Read all of a pack and compare every image with its sha256; how many there are.

    Raises:
        DataError: names the first image that differs; or this is no finished pack.
    """
    if not is_pack(directory):
        raise DataError(
            f"{directory}: no pack is here (no {PLAN_NAME}); name a folder that "
            "lars-sweep data pack wrote"
        )
    index, reader = open_pack(directory)
    sums = index.table["sha256"].combine_chunks()

    def sound(row: int) -> bool:
        return bool(hashlib.sha256(reader.read(row)).digest() == sums[row].as_py())

    total = len(index.table)
    for row, same in enumerate(in_threads(sound, range(total))):
        if not same:
            raise DataError(
                f"{reader.where(row)}: sha256 differs from the index; the shard is damaged: remove "
                "the pack and run lars-sweep data pack again"
            )
        if progress is not None and (row + 1 == total or row % 1024 == 0):
            progress("checking images", row + 1, total)
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """What decides the content of a pack; kept in ``pack.json``."""

    format: int
    mode: str
    side: int
    quality: int | None
    """None exactly in bytes mode."""
    shard_files: int
    shards: int
    tree: str
    """State of the source tree (`Tree.key`)."""


def _plan(
    mode: str, side: int | None, quality: int | None, files: int, shard_files: int, tree: Tree
) -> _Plan:
    if mode == "bytes" and (side, quality) != (None, None):
        raise DataError(
            "data pack: bytes mode keeps the files as they are; side and quality belong to "
            "--mode resized"
        )
    side = SIDE if side is None else side
    if mode == "resized":
        quality = 90 if quality is None else quality
    if not 8 <= side <= 4096 or not 1 <= (quality or 1) <= 100:
        raise DataError(
            f"data pack: got side {side}, quality {quality}; allowed: side 8 … 4096 pixels, "
            "quality 1 … 100"
        )
    return _Plan(
        format=FORMAT,
        mode=mode,
        side=side,
        quality=quality,
        shard_files=shard_files,
        shards=-(-files // shard_files),
        tree=tree.key,
    )


def _claim(out: Path, plan: _Plan) -> None:
    """Write the plan into a new directory, or check that the one there is the same."""
    path = out / PLAN_NAME
    if path.is_file():
        found = json.loads(path.read_text())
        different = sorted(key for key, value in asdict(plan).items() if found.get(key) != value)
        if different:
            raise DataError(
                f"{out}: holds a pack of another kind: "
                + ", ".join(
                    f"{key} {found.get(key)}, now {getattr(plan, key)}" for key in different
                )
                + "; remove it, or give another directory"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise DataError(f"{out}: neither empty nor a pack; give a new directory")
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(plan), indent=1))
    temporary.replace(path)


def _shard(out: Path, shard: int, files: Sequence[TreeFile], plan: _Plan) -> pa.Table:
    """The rows of one shard, which is written first unless it is there."""
    rows_path, path = _rows_path(out, shard), _shard_path(out, shard)
    if rows_path.is_file():
        return pq.read_table(rows_path)
    convert = None
    if plan.quality is not None:
        convert = partial(_resize, side=plan.side, quality=plan.quality)
    rows, bad, offset = [], [], 0
    temporary = path.with_suffix(".tmp")
    try:
        with temporary.open("wb") as file:
            for seen in examine(files, convert):
                if isinstance(seen, BadFile):
                    bad.append(asdict(seen))
                    continue
                file.write(seen.content)
                rows.append(seen.row(shard=shard, offset=offset))
                offset += len(seen.content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    table = pa.Table.from_pylist(rows, schema=SCHEMA.with_metadata({"bad": json.dumps(bad)}))
    write_table(table, rows_path)
    return table


def _resize(content: bytes, side: int, quality: int) -> bytes:
    return encode(decode_square(content, side), quality)


def _bad_of(table: pa.Table) -> list[dict[str, str]]:
    bad: list[dict[str, str]] = json.loads(table.schema.metadata[b"bad"])
    return bad


def _shard_path(out: Path, shard: int) -> Path:
    return out / f"shard-{shard:05d}.jpegs"


def _rows_path(out: Path, shard: int) -> Path:
    return out / f"shard-{shard:05d}.parquet"
