"""JSON records of a run directory, read whole or found damaged.

What is published is whole after any crash. A power cut under a file that was not made durable, a
failing disk or a stray hand may leave one empty, cut short or of another shape all the same. No
reader stumbles over it: each kind of record says below what stands in for a damaged one, and a
warning names the file.
"""

from __future__ import annotations

import contextlib
import logging
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from lars_sweep.errors import DamagedFile
from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir

logger = logging.getLogger(__name__)

R = TypeVar("R")


def read_record(path: Path, kind: type[R]) -> R:
    """The record in ``path``; FileNotFoundError passes through.

    Args:
        path: a JSON file.
        kind: a dataclass; its annotations say what is whole.

    Raises:
        DamagedFile: it is not JSON, or not of this kind.
    """
    content = path.read_bytes()
    try:
        record: R = _adapter(kind).validate_json(content, strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DamagedFile(path, f"{where}: {first['msg']}" if where else first["msg"]) from error
    return record


def read_if_whole(path: Path, kind: type[R], *, instead: str) -> R | None:
    """The same, or None for a file that is gone, or damaged: then a warning says so.

    Args:
        path: a JSON file.
        kind: as for `read_record`.
        instead: what follows from a damaged file, as the end of that warning.
    """
    try:
        return read_record(path, kind)
    except FileNotFoundError:
        return None
    except DamagedFile:
        warn_of_damage(path, instead)
        return None


@cache
def warn_of_damage(path: Path, instead: str) -> None:
    """Say it once in a process: some records are read every few seconds."""
    logger.warning("%s is damaged (a power cut?): %s", path, instead)


def set_aside(run: RunDir, path: Path) -> Path:
    """Move a damaged file out of the way of all readers, if nobody has yet; returns where to.

    Raises:
        RunError: the run directory cannot be written.
    """
    aside = run.set_aside / f"{path.parent.name}-{path.name}"
    with publish.explained(aside):
        aside.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            path.replace(aside)
    return aside


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
