"""ImageNet, or anything laid out like it: from its folder tree or from a pack of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from lars_sweep.data.dataset import DataInfo, Dataset, Progress
from lars_sweep.data.encoded import EncodedSource, Reader
from lars_sweep.data.image_index import PARTS, ImageIndex
from lars_sweep.data.image_tree import index_tree
from lars_sweep.data.pack import is_pack, open_pack, pack_meta
from lars_sweep.data.places import data_home
from lars_sweep.data.readers import TreeReader


def load_imagenet(directory: Path | None = None) -> Dataset:
    """Training part ``train/``, test part ``val/``; images are decoded when asked for.

    Args:
        directory: a tree or a pack, or what holds one as ``imagenet``; by default that of the
            user's data directory.

    Raises:
        DataError: as `index_tree` and `open_pack`.
    """
    place = _place(directory)
    reader: Reader
    if is_pack(place):
        index, reader = open_pack(place)
    else:
        index = index_tree(place)
        reader = TreeReader(place, index)
    train, test = (_source(index, reader, part) for part in PARTS)
    return Dataset(index.info, train, test)


def describe_imagenet(
    directory: Path | None = None, *, progress: Progress | None = None
) -> DataInfo:
    """What a plan needs; of a pack, or of a tree that was read before, no image is touched.

    Raises:
        DataError: as `load_imagenet`.
    """
    place = _place(directory)
    if is_pack(place):
        return DataInfo(**pack_meta(place)["info"])
    return index_tree(place, progress=progress).info


def _place(directory: Path | None) -> Path:
    home = data_home() if directory is None else directory
    return home / "imagenet" if directory is None or (home / "imagenet").is_dir() else home


def _source(index: ImageIndex, reader: Reader, part: str) -> EncodedSource:
    table = index.table
    rows = np.flatnonzero(pc.equal(table["part"], part).to_numpy())
    labels, heights, widths = (
        table[name].to_numpy()[rows].astype(np.int64) for name in ("label", "height", "width")
    )
    return EncodedSource(
        reader, rows, labels, np.stack([heights, widths], axis=1), index.info.image_size
    )
