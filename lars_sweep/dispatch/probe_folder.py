"""The folder in which a probe of `lars-sweep doctor` and its job meet, and its end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from lars_sweep.rundir.workers import pid_started

PREFIX = ".probe-"
STALE_S = 3600.0
"""No doctor waits so long: a folder that is older is nobody's, on whichever host it was made."""


@contextmanager
def probe_folder(directory: Path) -> Iterator[Path]:
    """A new folder in ``directory``; who leaves in order keeps or removes it, an interrupt removes.

    What doctors left that failed or were killed is removed first.
    """
    directory = directory.resolve()
    for left in directory.glob(f"{PREFIX}*"):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)
    pid = os.getpid()
    owner = f"{pid}.{pid_started(pid)}.{socket.gethostname()}"
    folder = directory / f"{PREFIX}{uuid.uuid4().hex[:8]}.{owner}"
    with _unwinding():
        try:
            folder.mkdir(parents=True)
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _is_left(folder: Path) -> bool:
    """Whether the doctor that made it is gone, as far as can be seen from here."""
    with contextlib.suppress(ValueError, FileNotFoundError):
        _, pid, started, host = folder.name.removeprefix(PREFIX).split(".", 3)
        if host == socket.gethostname():
            return pid_started(int(pid)) != int(started)
        return time.time() - folder.stat().st_mtime > STALE_S
    return False


@contextmanager
def _unwinding() -> Iterator[None]:
    """Let an end that is announced, or a terminal's hang-up, unwind as Ctrl-C does."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {n: signal.signal(n, leave) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
