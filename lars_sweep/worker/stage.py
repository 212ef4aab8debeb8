"""One checked copy of the data on each node's own disk."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lars_sweep.data import load_dataset
from lars_sweep.data.places import data_home
from lars_sweep.data.registry import not_of, reads_files
from lars_sweep.errors import DataError, LarsSweepError

logger = logging.getLogger(__name__)

LOOK_S = 1.0
PATIENCE_S = 3600.0
"""Ranks that wait for the copy go on without it after so long: its maker must have died."""


def original(data_dir: Path | None, dataset: str) -> Path | None:
    """The folder to copy: of the place where data lie only this data set's, if it has one.

    Args:
        data_dir: where data sets lie; None: the user's own place for them.
        dataset: the data set's name.

    Returns:
        None if there is nothing to copy.
    """
    if not reads_files(dataset):
        return None
    own = (data_home() if data_dir is None else data_dir) / dataset
    return own if own.is_dir() else data_dir


def staged(data_dir: Path, stage: str, dataset: str, content_id: str) -> Path:
    """Where this rank reads its data: the node's copy, or the original where that fails.

    The first rank of a node copies, unless a whole copy is there; a directory made under a name of
    its own and renamed when it has the planned content tells the others.

    Args:
        data_dir: what to copy.
        stage: a folder on the node's disk; ``$VARIABLES`` are expanded.
        dataset: the data set's name.
        content_id: what the copy must hold.
    """
    place = os.path.expandvars(stage)
    if "$" in place:
        logger.warning("data.stage: %s is not set here: reading %s itself", place, data_dir)
        return data_dir
    copy = Path(place) / f"lars-sweep-{content_id}"
    # Not beside the copy: that place may take nothing.
    failed = Path(tempfile.gettempdir()) / f"{copy.name}.failed-{os.environ.get('SLURM_JOB_ID')}"
    if os.environ.get("SLURM_LOCALID", "0") != "0":
        return copy if _appears(copy, failed, dataset, content_id) else data_dir
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        with _alone(copy.with_suffix(".lock")):
            if wrong := _wrong(copy, dataset, content_id):
                logger.info("%s: %s", copy, wrong)
                _make(data_dir, copy, dataset, content_id)
        return copy
    except (OSError, LarsSweepError) as error:
        logger.warning("no copy of the data in %s (%s): reading %s itself", place, error, data_dir)
        with contextlib.suppress(OSError):
            failed.touch()
        return data_dir


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Of all jobs of this node: the others wait for the copy instead of making their own."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(data_dir: Path, copy: Path, dataset: str, content_id: str) -> None:
    unfinished = copy.with_suffix(f".{uuid.uuid4().hex[:8]}")
    began = time.monotonic()

    def others(directory: str, names: list[str]) -> set[str]:
        return not_of(dataset, names) if Path(directory) == data_dir else set()

    try:
        shutil.copytree(data_dir, unfinished, ignore=others)
        if wrong := _wrong(unfinished, dataset, content_id):
            raise DataError(wrong)
        shutil.rmtree(copy, ignore_errors=True)  # a damaged one
        unfinished.rename(copy)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    logger.info("copied %s to %s in %.0f s", data_dir, copy, time.monotonic() - began)


def _wrong(copy: Path, dataset: str, content_id: str) -> str:
    """What is wrong with a copy; empty if it is whole."""
    if not copy.is_dir():
        return "no copy yet"
    try:
        found = load_dataset(dataset, copy).info.content_id
    except LarsSweepError as error:
        return str(error)
    return "" if found == content_id else f"has content id {found}, the plan {content_id}"


def _appears(copy: Path, failed: Path, dataset: str, content_id: str) -> bool:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if not _wrong(copy, dataset, content_id):  # a damaged one will be replaced
            return True
        if failed.exists():
            break
        time.sleep(LOOK_S)
    return False
