"""Atomic publication: a reader sees a whole file or none, after any crash, on NFS too.

A file is written under a temporary name, made durable, then given its real name: by ``link(2)``
where the first writer must win (it fails if the name exists, also on NFS, where ``O_EXCL`` may
leave an empty file behind), by ``rename(2)`` where the newest must win.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from lars_sweep.errors import DamagedFile, RunError
from lars_sweep.rundir.failpoints import Failpoint, failpoint

TEMPORARY_PREFIX = ".tmp-"

_FREE_SOME = "free some, then try again (`lars-sweep resume` goes on with a run)"
_ELSEWHERE = "choose another place"
_ADVICE = {
    errno.ENOSPC: f"the disk is full; {_FREE_SOME}",
    errno.EDQUOT: f"the quota of bytes or inodes is used up; {_FREE_SOME}",
    errno.EROFS: f"the file system is read-only; {_ELSEWHERE}",
    errno.EACCES: f"no permission to write there; {_ELSEWHERE}",
    errno.EPERM: f"not permitted there (hard links unsupported?); {_ELSEWHERE}",
    errno.EOPNOTSUPP: f"the file system has no hard links; {_ELSEWHERE}",
    errno.ENOTDIR: f"a part of the path is a file; {_ELSEWHERE}",
    errno.EEXIST: f"it is a file already; {_ELSEWHERE}",
    errno.ENOENT: "its directory is gone",
}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals into a RunError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "is the file system in order?")
        what = os.strerror(error.errno) if error.errno else str(error)
        raise RunError(f"cannot write {path}: {what}: {advice}") from error


def publish_new(
    path: Path, content: bytes, *, written: Failpoint | None = None, durable: bool = True
) -> bool:
    """Create ``path`` with ``content`` unless it exists; False if another was first.

    Args:
        path: where.
        content: what.
        written: where a test may kill this process.
        durable: False for files whose loss in a power cut costs nothing (turns).

    Raises:
        RunError: disk full, quota, read-only, no permission, no hard links.
    """
    with explained(path):
        temporary = _write_temporary(path, content, durable=durable)
        if written is not None:
            failpoint(written)
        try:
            os.link(temporary, path)
        except FileExistsError:
            # An NFS client repeats a request whose answer was lost; then the name is ours already.
            if temporary.stat().st_nlink != 2:
                return False
        finally:
            temporary.unlink(missing_ok=True)
        if durable:
            sync_directory(path.parent)
        return True


def replace(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Create or overwrite ``path``; the newest writer wins.

    Args:
        path: where.
        content: what.
        durable: False for files whose loss in a power cut costs nothing (heartbeats).
    """
    with explained(path):
        temporary = _write_temporary(path, content, durable=durable)
        temporary.replace(path)
        if durable:
            sync_directory(path.parent)


def publish_file(
    path: Path, write: Callable[[Path], None], *, written: Failpoint | None = None
) -> None:
    """Let ``write`` fill a temporary file, then give it its name (rename: same content anyway)."""
    with explained(path):
        temporary = path.parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
        try:
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            if written is not None:
                failpoint(written)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def check_room(directory: Path) -> None:
    """Write a block there and take it back.

    Raises:
        RunError: the directory takes nothing more.
    """
    with explained(directory):
        _write_temporary(directory / "room", bytes(4096), durable=False).unlink()


def _write_temporary(path: Path, content: bytes, *, durable: bool = True) -> Path:
    temporary = path.parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_directory(directory: Path) -> None:
    """Make a new name in ``directory`` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def to_json_bytes(content: object) -> bytes:
    """Compact JSON; floats round-trip exactly, NaN is refused."""
    return json.dumps(content, separators=(",", ":"), allow_nan=False).encode()


def read_json(path: Path) -> dict[str, object]:
    """The JSON object in ``path``; FileNotFoundError passes through.

    Raises:
        DamagedFile: it is not JSON, or no object.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DamagedFile(path, str(error)) from error
    if not isinstance(content, dict):
        raise DamagedFile(path, f"expected a JSON object, got {type(content).__name__}")
    return content


def names(directory: Path) -> list[str]:
    """Published names in ``directory``, sorted; none if it does not exist yet."""
    try:
        return sorted(n for n in os.listdir(directory) if not n.startswith(TEMPORARY_PREFIX))
    except FileNotFoundError:
        return []
