"""A trial is held by one worker at a time, whatever the order in which workers come and die."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runkit import in_parallel

from lars_sweep.rundir import claims, publish
from lars_sweep.rundir.claims import Holding

TRIAL = "0123456789abcdef"


def _take_in_turn(directory: Path, me: int) -> list[int]:
    return [n for n in range(40) if claims.take(directory, f"{n:016x}", 1, f"worker-{me}")]


def test_each_trial_is_taken_once_by_sixteen_processes(tmp_path: Path) -> None:
    taken = in_parallel(_take_in_turn, [(tmp_path, me) for me in range(16)])
    assert sorted(n for mine in taken for n in mine) == list(range(40))
    for me, mine in enumerate(taken):
        for n in mine:
            claim = claims.read_claim(tmp_path, f"{n:016x}", 1)
            assert claim is not None
            assert claim.worker_id == f"worker-{me}"


def test_a_claim_tells_who_and_when(tmp_path: Path) -> None:
    claim = claims.take(tmp_path, TRIAL, 1, "worker-1")
    assert claim is not None
    assert claims.read_claim(tmp_path, TRIAL, 1) == claim
    assert claims.read_claim(tmp_path, TRIAL, 2) is None


def test_the_highest_attempt_holds_the_trial(tmp_path: Path) -> None:
    first = claims.take(tmp_path, TRIAL, 1, "worker-1")
    assert first is not None
    assert claims.holdings(tmp_path) == {TRIAL: Holding(attempt=1, released=False)}
    claims.release(tmp_path, first, "preempted")
    assert claims.holdings(tmp_path) == {TRIAL: Holding(attempt=1, released=True)}
    assert not claims.is_superseded(tmp_path, first)
    second = claims.take(tmp_path, TRIAL, 2, "worker-2")
    assert second is not None
    assert claims.holdings(tmp_path) == {TRIAL: Holding(attempt=2, released=False)}
    assert claims.is_superseded(tmp_path, first)
    assert not claims.is_superseded(tmp_path, second)
    assert claims.attempts(tmp_path, TRIAL) == 2


def test_ten_attempts_are_more_than_nine(tmp_path: Path) -> None:
    for attempt in range(1, 11):
        claims.take(tmp_path, TRIAL, attempt, "worker")
    assert claims.holdings(tmp_path)[TRIAL].attempt == 10
    assert claims.attempts(tmp_path, TRIAL) == 10


def test_an_attempt_whose_claim_was_sealed_away_is_superseded(tmp_path: Path) -> None:
    claim = claims.take(tmp_path, TRIAL, 1, "worker-1")
    assert claim is not None
    claims.drop(tmp_path, TRIAL)
    assert claims.is_superseded(tmp_path, claim)


def test_dropping_leaves_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    for attempt in (1, 2, 3):
        claim = claims.take(tmp_path, TRIAL, attempt, "worker")
        assert claim is not None
        claims.release(tmp_path, claim, "preempted")
    claims.drop(tmp_path, TRIAL)
    claims.drop(tmp_path, TRIAL)
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_no_claims(tmp_path: Path) -> None:
    for name in ("README", ".tmp-1234", f"{TRIAL}.x", f"{TRIAL}.1.json", "ABC.1"):
        (tmp_path / name).touch()
    assert claims.holdings(tmp_path) == {}


def test_an_abandoned_claim_is_free_again(tmp_path: Path) -> None:
    claim = claims.take(tmp_path, TRIAL, 1, "worker-1")
    assert claim is not None
    claims.abandon(tmp_path, claim)
    assert claims.take(tmp_path, TRIAL, 1, "worker-2") is not None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["take", "release"]), max_size=12))
def test_a_trial_never_has_two_holders(
    tmp_path_factory: pytest.TempPathFactory, history: list[str]
) -> None:
    """Whoever follows the rules (take the next number of a released trial) holds it alone."""
    directory = tmp_path_factory.mktemp("claims")
    holder = None
    for number, step in enumerate(history):
        holding = claims.holdings(directory).get(TRIAL)
        if step == "take" and (holding is None or holding.released):
            attempt = 1 if holding is None else holding.attempt + 1
            assert holder is None
            holder = claims.take(directory, TRIAL, attempt, f"worker-{number}")
            assert holder is not None
            assert claims.take(directory, TRIAL, attempt, "late") is None
        elif step == "release" and holder is not None:
            claims.release(directory, holder, "given back")
            holder = None
    held = claims.holdings(directory).get(TRIAL)
    assert (held is not None and not held.released) == (holder is not None)
    assert publish.names(directory) == sorted(publish.names(directory))
