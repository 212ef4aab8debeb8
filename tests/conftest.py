"""Fixtures that more than one area uses."""

from __future__ import annotations

import multiprocessing.util
import os
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from runkit import make_run

from lars_sweep.rundir.layout import RunDir

# Settled before a test gives `tempfile` a folder of its own, whose path is too long for a socket.
multiprocessing.util.get_temp_dir()


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A planned run of 12 trials; nothing has been done."""
    return make_run(tmp_path)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of its own with these options, as in ``size=256k``."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        place = tmp_path / f"tmpfs-{len(mounted)}"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, text=True
        )
        if done.returncode != 0:
            pytest.skip(f"cannot mount here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def remount() -> Callable[[Path, str], None]:
    """Changes the options of a mounted file system, as in ``ro``."""

    def change(place: Path, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)

    return change


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where CI has installed everything, a skipped test is a failed one."""
    report = yield
    if report.skipped and os.environ.get("LARS_SWEEP_NO_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped: {report.longrepr}"
    return report
