"""Attempt logs, requests and failpoints."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from lars_sweep.rundir import attempts, failpoints, requests
from lars_sweep.rundir.layout import RunDir

TRIAL = "0123456789abcdef"


def test_evaluations_come_back_in_order_each_once(run: RunDir) -> None:
    log = run.attempt_log(TRIAL, 1)
    for step, accuracy in ((10, 1.0), (20, 2.0), (30, 3.0), (20, 2.5)):
        attempts.append(log, {"step": step, "val_accuracy": accuracy})
    assert attempts.read_attempt_log(log) == [
        {"step": 10, "val_accuracy": 1.0},
        {"step": 20, "val_accuracy": 2.5},
        {"step": 30, "val_accuracy": 3.0},
    ]


def test_a_torn_last_line_is_left_out(run: RunDir) -> None:
    log = run.attempt_log(TRIAL, 1)
    attempts.append(log, {"step": 10})
    with log.open("ab") as file:
        file.write(b'{"step":2')
    assert attempts.read_attempt_log(log) == [{"step": 10}]


def test_no_log_is_no_evaluation(run: RunDir) -> None:
    assert attempts.read_attempt_log(run.attempt_log(TRIAL, 1)) == []


def test_a_later_attempt_begins_with_what_the_last_one_measured(run: RunDir) -> None:
    attempts.append(run.attempt_log(TRIAL, 1), {"step": 10})
    attempts.append(run.attempt_log(TRIAL, 2), {"step": 10})
    attempts.append(run.attempt_log(TRIAL, 2), {"step": 20})
    attempts.carry_over(run, TRIAL, 4)  # attempt 3 died before it measured anything
    assert attempts.read_attempt_log(run.attempt_log(TRIAL, 4)) == [{"step": 10}, {"step": 20}]
    attempts.append(run.attempt_log(TRIAL, 4), {"step": 20, "again": True})
    assert len(attempts.read_attempt_log(run.attempt_log(TRIAL, 4))) == 2


def test_a_first_attempt_has_nothing_to_carry_over(run: RunDir) -> None:
    attempts.carry_over(run, TRIAL, 1)
    assert not run.attempt_log(TRIAL, 1).exists()


def test_stop_is_asked_and_withdrawn(run: RunDir) -> None:
    assert not requests.stop_requested(run)
    requests.withdraw_stop(run)
    requests.request_stop(run, "cancelled")
    requests.request_stop(run, "again")
    assert requests.stop_requested(run)
    requests.withdraw_stop(run)
    assert not requests.stop_requested(run)


def test_a_prune_is_asked_once(run: RunDir) -> None:
    assert requests.request_prune(run, TRIAL, "too slow")
    assert not requests.request_prune(run, TRIAL, "again")
    assert requests.prune_requested(run, TRIAL)
    assert not requests.prune_requested(run, "f" * 16)


def _hit(wanted: str, *names: str) -> int:
    code = "\n".join(
        ["from lars_sweep.rundir.failpoints import failpoint"]
        + [f"failpoint({name!r})" for name in names]
    )
    environment = {**os.environ, "LARS_SWEEP_FAILPOINT": wanted}
    return subprocess.run([sys.executable, "-c", code], env=environment).returncode


@pytest.mark.parametrize(
    ("wanted", "hits", "dies"),
    [
        ("mid-epoch", ["mid-epoch"], True),
        ("mid-epoch:2", ["mid-epoch"], False),
        ("mid-epoch:2", ["mid-epoch", "submitted", "mid-epoch"], True),
        ("mid-epoch", ["submitted"], False),
        ("", ["mid-epoch"], False),
    ],
)
def test_a_failpoint_kills_at_the_nth_hit(wanted: str, hits: list[str], dies: bool) -> None:
    assert _hit(wanted, *hits) == (-signal.SIGKILL if dies else 0)


def test_failpoints_are_listed() -> None:
    assert len(failpoints.FAILPOINTS) == len(set(failpoints.FAILPOINTS)) >= 11
