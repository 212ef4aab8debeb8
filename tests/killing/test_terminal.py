"""Workers outlive the terminal, Ctrl-C and the death of the launch that started them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from runkit import GRID, write_sweep

from lars_sweep.dispatch.status import RunStatus, run_status
from lars_sweep.dispatch.stop import cancel
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir.layout import RunDir, open_run
from lars_sweep.rundir.workers import is_gone, read_workers

POINTS = "space.base_lr={log = [0.001, 10], points = 2000}"
"""8,000 trials of the no-op trainer: far more than the tests wait for."""
PATIENCE_S = 60.0


def command(directory: Path, *arguments: str) -> list[str]:
    sweep = write_sweep(directory)
    return [
        sys.executable, "-m", "lars_sweep", "launch", str(sweep), "--run-dir",
        str(directory / "run"), "--trainer", "noop", "--workers", "1", *arguments,
    ]  # fmt: skip


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def until_status(path: Path, true: Callable[[RunStatus], bool]) -> None:
    until(lambda: (path / "plan.json").exists() and true(run_status(open_run(path))))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where a run may be launched; its workers end with the test."""
    yield tmp_path
    run = open_run(tmp_path / "run")
    cancel(run)
    assert all(is_gone(worker) for worker in read_workers(run.workers))


def goes_on(path: Path) -> None:
    """A worker lives and finishes more and more trials."""
    now = run_status(open_run(path))
    assert now.workers_alive == 1
    until_status(path, lambda later: later.finished > now.finished)


def _hear_signals() -> None:
    """In the child: a parent under nohup or in the background would have it ignore these."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _own_terminal() -> None:
    """In the child: lead a session whose terminal is standard input."""
    _hear_signals()
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_closing_the_terminal_leaves_the_workers_running(place: Path) -> None:
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        command(place, "--wait", "--set", POINTS),
        stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=_own_terminal,
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)

    def begun(status: RunStatus) -> bool:
        with contextlib.suppress(BlockingIOError):
            os.read(ours, 100_000)  # a terminal that nobody reads fills up
        return status.finished > 0

    until_status(place / "run", begun)
    os.close(ours)  # the kernel sends SIGHUP to the whole session
    assert shell.wait(PATIENCE_S) == -signal.SIGHUP
    goes_on(place / "run")


def test_ctrl_c_twice_ends_the_view_and_nothing_else(place: Path) -> None:
    viewer = subprocess.Popen(
        command(place, "--wait", "--set", POINTS), stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=_hear_signals,
    )  # fmt: skip
    until_status(place / "run", lambda status: status.finished > 0)
    for _ in range(2):
        os.killpg(viewer.pid, signal.SIGINT)
        time.sleep(0.02)
    _, talk = viewer.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in talk
    assert viewer.returncode in (0, 1, 130, -signal.SIGINT)
    goes_on(place / "run")


def test_ctrl_c_while_launching_leaves_a_run_that_can_be_launched_again(place: Path) -> None:
    launch = subprocess.Popen(
        command(place, "--set", "seeds.count=1"), stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=_hear_signals,
    )  # fmt: skip
    until(lambda: (place / "run" / "plan.json").exists())
    os.killpg(launch.pid, signal.SIGINT)
    _, talk = launch.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in talk
    again = subprocess.run(command(place, "--set", "seeds.count=1"), capture_output=True, text=True)
    assert again.returncode == 0
    until_status(place / "run", lambda status: status.finished == 6)


@pytest.mark.parametrize("failpoint", ["plan-written", "submit-recorded", "submitted"])
def test_a_launch_that_dies_can_be_repeated(place: Path, failpoint: str) -> None:
    launch = command(place)
    died = subprocess.run(launch, env={**os.environ, "LARS_SWEEP_FAILPOINT": failpoint})
    assert died.returncode == -signal.SIGKILL
    subprocess.run(launch, check=True, capture_output=True)
    until_status(place / "run", lambda status: status.finished == 12)
    rows = load_table(open_run(place / "run"), "outcomes", ["attempts"])
    assert rows["attempts"].to_pylist() == [1] * 12


def test_failpoints_reach_workers_through_the_environment_of_launch(place: Path) -> None:
    environment = {**os.environ, "LARS_SWEEP_FAILPOINT": "outcome-published:4"}
    subprocess.run(command(place), check=True, capture_output=True, env=environment)
    until_status(place / "run", lambda status: status.workers_lost == 1)
    run: RunDir = open_run(place / "run")
    assert run_status(run).finished == 4
    resume = [sys.executable, "-m", "lars_sweep", "resume", str(run.path)]
    subprocess.run(resume, check=True, capture_output=True)
    until_status(run.path, lambda status: status.finished == 12)
    until(lambda: not list(run.claims.iterdir()))


def test_a_run_directory_may_have_any_name(place: Path) -> None:
    odd = place / 'it\'s 100% $HOME\n"ü" (x)'
    launch = command(place)
    launch[launch.index("--run-dir") + 1] = str(odd)
    subprocess.run(launch, check=True, capture_output=True)
    until_status(odd, lambda status: status.finished == 12)
    odd.rename(place / "run")


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_run_may_take_longer_than_six_minutes(place: Path) -> None:
    """submitit's local executor would end it after two."""
    (place / "slowly.py").write_text(
        "import time\n"
        "from torch import nn\n"
        "class Slow(nn.Flatten):\n"
        "    def forward(self, images):\n"
        "        time.sleep(1.0)\n"
        "        return super().forward(images)\n"
        "def network(*, num_classes, in_channels, image_size):\n"
        "    return nn.Sequential(Slow(), nn.Linear(in_channels * image_size**2, num_classes))\n"
    )
    text = GRID.replace("small_alexnet_bn", "slowly:network").replace("[64, 128]", "640")
    sweep = write_sweep(place, text.replace("epochs = 2", "epochs = 200"))
    launch = [
        sys.executable, "-m", "lars_sweep", "launch", str(sweep), "--run-dir", str(place / "run"),
        "--set", "space.base_lr=0.1", "--set", "seeds.count=1",
    ]  # fmt: skip
    subprocess.run(launch, check=True, cwd=place)
    begin = time.monotonic()
    while run_status(open_run(place / "run")).finished < 1:
        assert time.monotonic() - begin < 1000
        time.sleep(1)
    (row,) = load_table(open_run(place / "run"), "outcomes").to_pylist()
    assert row["status"] == "ok"
    assert row["wall_s"] > 360
