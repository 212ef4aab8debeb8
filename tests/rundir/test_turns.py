"""One process at a time; a holder that died does not keep the others waiting."""

from __future__ import annotations

import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from runkit import in_parallel

from lars_sweep.rundir import publish, turns
from lars_sweep.rundir.turns import turn
from lars_sweep.rundir.workers import this_worker


def _work_in_turn(path: Path, rounds: int) -> int:
    clashes = 0
    for _ in range(rounds):
        with turn(path / "turn"):
            inside = path / "inside"
            clashes += inside.exists()
            inside.touch()
            time.sleep(0.002)
            inside.unlink(missing_ok=True)
    return clashes


def test_eight_processes_take_turns(tmp_path: Path) -> None:
    assert in_parallel(_work_in_turn, [(tmp_path, 10)] * 8) == [0] * 8
    assert list(tmp_path.iterdir()) == []


def test_a_dead_holder_is_seen_at_once(tmp_path: Path) -> None:
    path = tmp_path / "turn"
    dead = replace(this_worker("dead", job_id="", executor="local"), pid_started=1)
    publish.publish_new(path, publish.to_json_bytes(asdict(dead)))
    with turn(path):
        assert path.exists()
    assert not path.exists()


def test_a_holder_elsewhere_is_given_some_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "PATIENCE_S", 0.2)
    path = tmp_path / "turn"
    elsewhere = replace(this_worker("w", job_id="", executor="local"), host="elsewhere")
    publish.publish_new(path, publish.to_json_bytes(asdict(elsewhere)))
    begin = time.monotonic()
    with turn(path):
        assert time.monotonic() - begin >= 0.2


def test_one_need_not_wait(tmp_path: Path) -> None:
    path = tmp_path / "turn"
    with turn(path) as first, turn(path, wait=False) as second:
        assert (first, second) == (True, False)
        assert path.exists()
    with turn(path, wait=False) as third:
        assert third


def test_an_error_ends_the_turn(tmp_path: Path) -> None:
    with pytest.raises(KeyError), turn(tmp_path / "turn"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_a_turn_that_was_taken_over_is_left_to_its_new_holder(tmp_path: Path) -> None:
    path = tmp_path / "turn"
    inside, over = threading.Event(), threading.Event()

    def second() -> None:
        with turn(path):
            inside.set()
            over.wait(10)

    thread = threading.Thread(target=second)
    with turn(path):
        path.unlink()  # as one does who has lost patience
        thread.start()
        assert inside.wait(10)
    assert path.exists()
    over.set()
    thread.join()
    assert not path.exists()
