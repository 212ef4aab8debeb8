"""Taking turns: one process at a time, for work that is safe but wasteful when two do it at once.

A turn is a file published by link. Its holder may die: on this machine that is seen at once, on
another one by patience. So a turn saves work, it does not protect anything.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from lars_sweep.errors import DamagedFile
from lars_sweep.rundir import publish
from lars_sweep.rundir.records import read_record
from lars_sweep.rundir.workers import Worker, is_gone, this_worker

PATIENCE_S = 60.0
"""One holder for so long: it hangs or died on another machine."""
POLL_S = 0.02


@contextlib.contextmanager
def turn(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold ``path`` as soon as nobody else does; yields whether it is held.

    Args:
        path: names the work.
        wait: False: go on without the turn, and yield False, if another one holds it.

    Raises:
        RunError: it cannot be written.
    """
    me = this_worker(uuid.uuid4().hex, job_id="", executor="local")
    content = publish.to_json_bytes(asdict(me))
    seen: tuple[str, float] = ("", 0.0)
    held = True
    while path.exists() or not publish.publish_new(path, content, durable=False):
        holder = _holder(path)
        if holder is None:
            continue
        if holder.worker_id != seen[0]:
            seen = holder.worker_id, time.monotonic()
        if is_gone(holder) or time.monotonic() - seen[1] > PATIENCE_S:
            path.unlink(missing_ok=True)
        elif wait:
            time.sleep(POLL_S)
        else:
            held = False
            break
    try:
        yield held
    finally:
        holder = _holder(path)
        if holder is not None and holder.worker_id == me.worker_id:
            path.unlink(missing_ok=True)


def _holder(path: Path) -> Worker | None:
    """Whose turn it is; a damaged file is nobody's, and goes."""
    try:
        return read_record(path, Worker)
    except FileNotFoundError:
        return None
    except DamagedFile:
        path.unlink(missing_ok=True)
        return None
