"""How a worker hears of its job's end, also while it still imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

IN_MID_IMPORT = """
import os, signal, sys
from lars_sweep.worker import early
early.catch()
assert "numpy" not in sys.modules
os.kill(os.getpid(), int(sys.argv[1]))
from lars_sweep.worker.ending import JobEnd
end = JobEnd(None)
end.listen()
print(end().name)
"""


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_in_mid_import_is_kept(number: signal.Signals) -> None:
    command = [sys.executable, "-c", IN_MID_IMPORT, str(int(number))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "PREEMPTED\n"


def test_a_rank_catches_signals_before_its_imports() -> None:
    """Signalled as soon as it catches, it lives on to complain about its order."""
    rank = subprocess.Popen(
        [sys.executable, "-m", "lars_sweep.worker", "/nonexistent/order.json"],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    caught = 1 << (signal.SIGUSR2 - 1)
    while rank.poll() is None and not caught & _caught_by(rank.pid):
        time.sleep(0.001)
    rank.send_signal(signal.SIGUSR2)
    _, said = rank.communicate(timeout=60)
    assert rank.returncode == 1
    assert "/nonexistent/order.json" in said


def _caught_by(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        (mask,) = (line.split()[1] for line in status if line.startswith("SigCgt"))
    return int(mask, 16)


def test_this_process_catches_nothing_by_being_imported() -> None:
    code = "import signal, lars_sweep.worker.__main__; print(signal.getsignal(signal.SIGUSR2).name)"
    environ = {**os.environ, "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "SIG_DFL\n"
