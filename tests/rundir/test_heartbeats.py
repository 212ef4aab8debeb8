"""A worker is gone when its process is: not a namesake, not one of an earlier boot."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lars_sweep.rundir import workers
from lars_sweep.rundir.workers import beat, is_gone, read_workers, this_worker


@pytest.fixture
def me() -> workers.Worker:
    return this_worker("w", job_id="7", executor="local")


def test_this_process_is_not_gone(me: workers.Worker) -> None:
    assert is_gone(me) is False
    assert me.pid == os.getpid()
    assert me.pid_started > 0


def test_a_reused_pid_is_no_proof_of_life(me: workers.Worker) -> None:
    assert is_gone(replace(me, pid_started=me.pid_started - 1)) is True


def test_a_pid_of_an_earlier_boot_is_no_proof_of_life(me: workers.Worker) -> None:
    assert is_gone(replace(me, boot_id="another")) is True


def test_of_another_host_nothing_is_known(me: workers.Worker) -> None:
    assert is_gone(replace(me, host="another")) is None


def test_one_that_says_so_is_gone_wherever_it_ran(me: workers.Worker) -> None:
    assert is_gone(replace(me, host="another", state="ended: no work left")) is True


def test_a_process_that_ended_is_gone_also_as_a_zombie(me: workers.Worker) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.stdin is not None
    started = workers.pid_started(child.pid)
    assert started is not None
    theirs = replace(me, pid=child.pid, pid_started=started)
    assert is_gone(theirs) is False
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie until it is waited for
    assert is_gone(theirs) is True
    child.wait()
    assert is_gone(theirs) is True


def test_a_process_name_may_hold_anything(me: workers.Worker, tmp_path: Path) -> None:
    odd = tmp_path / "a) R 1 ("
    odd.symlink_to(sys.executable)
    child = subprocess.Popen([odd, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.stdin is not None
    started = workers.pid_started(child.pid)
    child.stdin.close()
    child.wait()
    assert started is not None
    assert started >= me.pid_started


def test_heartbeats_come_back_oldest_first(me: workers.Worker, tmp_path: Path) -> None:
    late = beat(tmp_path, replace(me, worker_id="a", started_at=2.0))
    early = beat(tmp_path, replace(me, worker_id="b", started_at=1.0, trial_id="t", steps_done=5))
    assert read_workers(tmp_path) == [early, late]
    assert early.updated_at > me.updated_at


def test_the_newest_heartbeat_counts(me: workers.Worker, tmp_path: Path) -> None:
    beat(tmp_path, me)
    beat(tmp_path, replace(me, steps_done=10))
    assert [worker.steps_done for worker in read_workers(tmp_path)] == [10]


@pytest.mark.parametrize("content", ["", '{"worker_id": "a', "\0\0\0", "null", "{}"])
def test_a_record_that_a_power_cut_left_damaged_is_passed_over(
    me: workers.Worker, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    whole = beat(tmp_path, me, durable=True)
    (tmp_path / "x-damaged.json").write_text(content)
    assert read_workers(tmp_path) == [whole]
    assert workers.find(tmp_path, "x-", 0) is None
    assert caplog.text.count("x-damaged.json is damaged") == 1, "said once, not at every look"
