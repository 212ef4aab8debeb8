"""A PostgreSQL server of the test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BIN = Path("/usr/lib/postgresql/15/bin")


def _as_postgres(*command: str | Path) -> list[str]:
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *map(str, command)]


@pytest.fixture
def postgresql() -> Iterator[str]:
    """URL of an empty database on a socket in a directory of its own; no port is opened."""
    if not BIN.exists() or os.geteuid() != 0:
        pytest.skip("needs PostgreSQL 15 and root (it must not run as root itself)")
    pytest.importorskip("psycopg")
    place = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path may have 107 characters
    try:
        shutil.chown(place, pwd.getpwnam("postgres").pw_uid)
        data = place / "data"
        initdb = (BIN / "initdb", "--no-sync", "--auth=trust", "-D", data)
        subprocess.run(_as_postgres(*initdb), check=True, capture_output=True, cwd=place)
        server = subprocess.Popen(
            _as_postgres(
                BIN / "postgres", "-D", data, "-k", place, "-c", "listen_addresses=", "-F"
            ),
            cwd=place,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not (place / ".s.PGSQL.5432").exists():
                assert server.poll() is None, "the server ended"
                time.sleep(0.05)
            yield f"postgresql+psycopg://postgres@/postgres?host={place}"
        finally:
            server.send_signal(signal.SIGINT)  # do not wait for clients
            server.wait()
    finally:
        shutil.rmtree(place)
