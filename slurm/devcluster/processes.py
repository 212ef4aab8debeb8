"""Daemons started in the background and known by (pid, start time), never by name."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from devcluster.settings import SYSTEM_PATH, DevClusterError


class Daemons:
    """The daemons of one cluster, recorded in a file that outlives this process."""

    def __init__(self, record: Path, logs: Path) -> None:
        self._record = record
        self._logs = logs

    def start(self, name: str, command: Sequence[str], environ: dict[str, str]) -> None:
        """Runs the command in a session of its own; its output is appended to ``name``.out."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # Not subprocess.Popen: it wants to be waited for, and these outlive their starter.
        pid = os.posix_spawn(
            shutil.which(command[0], path=SYSTEM_PATH) or command[0],
            list(command),
            {**environ, "PATH": SYSTEM_PATH},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self._logs / f"{name}.out"), flags, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._write({**self._read(), name: (pid, _start_time(pid))})

    def alive(self, name: str) -> bool:
        return _is_alive(*self._read().get(name, (0, None)))

    def recorded(self) -> list[str]:
        """Names in the order in which they were started."""
        return list(self._read())

    def stop(self, name: str, patience_s: float = 15.0) -> None:
        """SIGTERM, then SIGKILL for what has not gone in time; forgets the daemon."""
        record = self._read()
        pid, started = record.pop(name, (0, None))
        for number, seconds in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
            if _is_alive(pid, started):
                os.kill(pid, number)
                _wait(lambda: not _is_alive(pid, started), seconds)
        self._write(record)

    def log_tail(self, name: str, lines: int = 8) -> str:
        """The end of what the daemon said, for an error message."""
        files = [self._logs / f"{name}{suffix}" for suffix in (".log", ".out")]
        said = "\n".join(file.read_text(errors="replace") for file in files if file.exists())
        return "\n".join(f"  {line}" for line in said.split("\n")[-lines:] if line)

    def _read(self) -> dict[str, tuple[int, int | None]]:
        if not self._record.exists():
            return {}
        content: dict[str, tuple[int, int | None]] = json.loads(self._record.read_text())
        return content

    def _write(self, content: dict[str, tuple[int, int | None]]) -> None:
        temporary = self._record.with_suffix(".new")
        temporary.write_text(json.dumps(content, indent=1))
        temporary.replace(self._record)


def wait_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Polls until the condition holds; DevClusterError names what was waited for."""
    if not _wait(condition, seconds):
        raise DevClusterError(f"waited {seconds:.0f} s for {what}")


def kill_namespace(handle: Path) -> None:
    """SIGKILL to every process in the UTS namespace that ``handle`` is bound to."""
    namespace = handle.stat().st_ino
    if namespace == os.stat("/proc/self/ns/uts").st_ino:
        raise DevClusterError(f"{handle} is this process's own namespace: nothing is killed")
    # Again and again: a process may fork between being listed and being killed.
    while members := list(_members(namespace)):
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)


def _members(namespace: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                inside = (entry / "ns/uts").stat().st_ino == namespace
            except OSError:  # gone, or a zombie, which is in no namespace
                continue
            if inside and _start_time(int(entry.name)) is not None:
                yield int(entry.name)


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def _is_alive(pid: int, started: int | None) -> bool:
    return started is not None and _start_time(pid) == started


def _start_time(pid: int) -> int | None:
    """Clock ticks since boot; with the pid it names a process. None: gone, or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    after_name = stat.rpartition(")")[2].split()
    return None if after_name[0] in "ZX" else int(after_name[19])
