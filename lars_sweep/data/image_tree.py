"""The usual folder tree: ``train/<class>/*.JPEG`` and ``val/<class>/*.JPEG``."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lars_sweep.data.dataset import Progress
from lars_sweep.data.image_index import (
    MAX_BAD_SHARE,
    PARTS,
    SCHEMA,
    SIDE,
    BadFile,
    ImageIndex,
    check_bad,
    make_index,
    read_index,
    read_meta,
    write_index,
)
from lars_sweep.data.jpeg import jpeg_size
from lars_sweep.data.places import data_home
from lars_sweep.data.workers import in_threads
from lars_sweep.errors import DataError

_LOG = logging.getLogger(__name__)
INDEX_NAME = ".lars-sweep-index.parquet"
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of the tree."""

    part: str
    label: int
    path: Path

    @property
    def relative(self) -> str:
        """``part/class/name``."""
        return "/".join(self.path.parts[-3:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A checked folder tree."""

    root: Path
    classes: tuple[str, ...]
    """Sorted names of the class folders; a label is a position here."""
    key: str
    """Changes whenever a file is added, removed or renamed: hash of the folders' mtimes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """A file that was read, checked and, where asked for, converted."""

    file: TreeFile
    content: bytes
    sha256: bytes
    height: int
    width: int

    def row(self, *, shard: int = 0, offset: int = 0) -> dict[str, object]:
        """Its row of the index."""
        return {
            "part": self.file.part,
            "label": self.file.label,
            "name": self.file.path.name,
            "height": self.height,
            "width": self.width,
            "bytes": len(self.content),
            "sha256": self.sha256,
            "shard": shard,
            "offset": offset,
        }


def open_tree(root: Path) -> Tree:
    """Find the class folders.

    Raises:
        DataError: a part or a class folder is missing.
    """
    folders = {part: _class_folders(root, part) for part in PARTS}
    for part, other in (PARTS, PARTS[::-1]):
        missing = sorted(set(folders[other]) - set(folders[part]))
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise DataError(
                f"{root / part} lacks the class folder {', '.join(missing[:5])}{more}, which "
                f"{root / other} has; both parts need the same classes"
            )
    digest = hashlib.sha256()
    for part in PARTS:
        for name, mtime_ns in sorted(folders[part].items()):
            digest.update(f"{part}/{name}\t{mtime_ns}\n".encode(errors="surrogateescape"))
    return Tree(root=root, classes=tuple(sorted(folders["train"])), key=digest.hexdigest())


def list_files(tree: Tree) -> list[TreeFile]:
    """All files, in the order part, class, name; hidden ones are left out.

    Raises:
        DataError: a class folder is empty.
    """
    files = []
    for part in PARTS:
        for label, name in enumerate(tree.classes):
            folder = tree.root / part / name
            found = sorted(entry for entry in os.listdir(folder) if entry[0] != ".")
            if not found:
                raise DataError(f"{folder}: no images in this class folder; unpack it again")
            files += [TreeFile(part, label, folder / entry) for entry in found]
    return files


def examine(
    files: Sequence[TreeFile], convert: Callable[[bytes], bytes] | None = None
) -> Iterator[Examined | BadFile]:
    """Read every file once, in order; look at its header and its end, and hash it.

    Args:
        files: what to read.
        convert: makes of a file what is stored and hashed in its place, another JPEG file.
    """

    def one(file: TreeFile) -> Examined | BadFile:
        try:
            file.path.name.encode()  # Parquet holds UTF-8 only
            content = file.path.read_bytes()
            size = jpeg_size(content)
            if convert is not None:
                content = convert(content)
                size = jpeg_size(content)
        except (OSError, ValueError) as error:
            return BadFile(path=file.relative, reason=str(error))
        return Examined(
            file=file,
            content=content,
            sha256=hashlib.sha256(content).digest(),
            height=size[0],
            width=size[1],
        )

    return in_threads(one, files)


def index_tree(
    root: Path, *, progress: Progress | None = None, max_bad_share: float = MAX_BAD_SHARE
) -> ImageIndex:
    """The index of a tree: read back where it is up to date, else made by reading every file.

    It is kept in the tree (``.lars-sweep-index.parquet``), or in the user's data directory where
    the tree cannot be written. It is up to date while no class folder has changed; a file that is
    rewritten in place is noticed by its length when it is read for training.

    Raises:
        DataError: a folder is missing or empty, or too many files are no whole JPEGs.
    """
    tree = open_tree(root)
    places = (
        root / INDEX_NAME,
        data_home()
        / "indexes"
        / f"{hashlib.sha256(bytes(root.resolve())).hexdigest()[:16]}.parquet",
    )
    for path in places:
        meta = read_meta(path)
        if meta is not None and meta["key"] == tree.key:
            return read_index(path, meta)
    index = _read_all(tree, progress, max_bad_share)
    for path in places:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_index(index, path)
            return index
        except OSError as error:
            _LOG.warning("%s: the index of the images cannot be kept: %s", path, error)
    return index


def _read_all(tree: Tree, progress: Progress | None, max_bad_share: float) -> ImageIndex:
    files = list_files(tree)
    tables: list[pa.Table] = []
    bad: list[BadFile] = []
    for start in range(0, len(files), _BLOCK):
        rows = []
        for seen in examine(files[start : start + _BLOCK]):
            if isinstance(seen, BadFile):
                bad.append(seen)
            else:
                rows.append(seen.row())
        tables.append(pa.Table.from_pylist(rows, schema=SCHEMA))
        if progress is not None:
            progress("checking images", min(start + _BLOCK, len(files)), len(files))
    check_bad(bad, len(files), max_bad_share, tree.root)
    return make_index(tables, tree.classes, bad, side=SIDE, key=tree.key)


def _class_folders(root: Path, part: str) -> dict[str, int]:
    """Name and mtime (ns) of each class folder of a part."""
    try:
        with os.scandir(root / part) as entries:
            folders = {
                entry.name: entry.stat().st_mtime_ns
                for entry in entries
                if entry.name[0] != "." and entry.is_dir()
            }
    except OSError as error:
        raise DataError(
            f"imagenet: {root / part} cannot be read ({error.strerror}); expected "
            "train/<class>/*.JPEG and val/<class>/*.JPEG there, or a pack made by "
            "lars-sweep data pack; name the directory that holds them: --data-dir DIR"
        ) from error
    if not folders:
        raise DataError(
            f"{root / part} holds no class folders; move each image into the folder of its class "
            "(val too, whose images come in one flat folder)"
        )
    return folders
