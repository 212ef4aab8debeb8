"""A directory is a run if and only if its plan is there, and only its own sweep may join it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runkit import in_parallel

from lars_sweep.errors import RunError
from lars_sweep.rundir.layout import DIRECTORIES, RunDir, create_run, open_run

PLAN: dict[str, object] = {
    "sweep": "s", "spec_hash": "a" * 64, "trainer": "noop", "facts": {"content_id": "d"},
    "model_sources": {},
}  # fmt: skip


def test_a_new_run_has_its_directories_and_its_plan(tmp_path: Path) -> None:
    run = create_run(tmp_path / "new" / "run", PLAN)
    assert all((run.path / directory).is_dir() for directory in DIRECTORIES)
    assert (run.sweep, run.spec_hash, run.trainer) == ("s", "a" * 64, "noop")
    assert len(run.run_id) == 8
    assert open_run(run.path) == run


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert create_run(Path("run"), PLAN).path == tmp_path / "run"


def test_creating_again_joins_the_run(tmp_path: Path) -> None:
    assert create_run(tmp_path / "run", PLAN) == create_run(tmp_path / "run", PLAN)


def test_of_many_launches_at_once_all_join_one_run(tmp_path: Path) -> None:
    made = in_parallel(create_run, [(tmp_path / "run", PLAN) for _ in range(8)])
    assert len({run.run_id for run in made}) == 1


def test_another_sweep_is_refused(tmp_path: Path) -> None:
    create_run(tmp_path / "run", PLAN)
    with pytest.raises(RunError, match=r"holds sweep 's' with other settings \(spec hash a{12}, "):
        create_run(tmp_path / "run", {**PLAN, "spec_hash": "b" * 64})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainer": "torch"}, "was launched with other trainer (noop, not torch): choose"),
        (
            {"facts": {"content_id": "e"}},
            "was launched with other data (changed: content_id): choose",
        ),
        (
            {"model_sources": {"m:f": "1"}},
            "was launched with other model sources (changed: m:f): choose",
        ),
    ],
)
def test_the_same_sweep_on_other_ground_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    create_run(tmp_path / "run", PLAN)
    with pytest.raises(RunError) as caught:
        create_run(tmp_path / "run", PLAN | change)
    assert message in str(caught.value)
    assert "choose another --run-dir" in str(caught.value)


def test_a_directory_with_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match=r"holds 'thesis\.tex' and is no run directory"):
        create_run(tmp_path, PLAN)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_directory_whose_making_was_cut_off_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "claims").mkdir()
    (tmp_path / ".tmp-123").touch()
    assert create_run(tmp_path, PLAN).sweep == "s"


@pytest.mark.parametrize("inside", ["", "run"])
def test_a_file_in_the_way_is_explained(tmp_path: Path, inside: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"is a file already|of the path is a file"):
        create_run(tmp_path / "file" / inside, PLAN)


def test_an_unwritable_place_is_explained(
    tmpfs: Callable[[str], Path], remount: Callable[[Path, str], None]
) -> None:
    place = tmpfs("size=64k")
    remount(place, "ro")
    with pytest.raises(RunError, match="the file system is read-only"):
        create_run(place / "run", PLAN)


def test_a_full_disk_leaves_no_run(tmpfs: Callable[[str], Path]) -> None:
    place = tmpfs("size=64k")
    with pytest.raises(RunError, match="the disk is full"):
        create_run(place / "run", {**PLAN, "queue": ["x" * 100_000]})
    with pytest.raises(RunError, match="is no run directory"):
        open_run(place / "run")
    assert create_run(place / "run", PLAN).sweep == "s"


@pytest.mark.parametrize("path", ["absent", "file/run", "empty"])
def test_no_run_is_said_with_what_makes_one(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunError, match=r"no plan\.json in it.*lars-sweep launch"):
        open_run(tmp_path / path)


def _rewrite(run: RunDir, change: Callable[[dict[str, Any]], object]) -> None:
    path = run.path / "plan.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_run_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    run = create_run(tmp_path / "run", PLAN)
    _rewrite(run, lambda content: content.update(run_version=2))
    for use in (open_run, lambda path: create_run(path, PLAN)):
        with pytest.raises(RunError, match="run_version 2, this lars-sweep reads 1: use the ver"):
            use(run.path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]"])
def test_a_plan_that_is_no_plan_is_said(tmp_path: Path, content: bytes) -> None:
    run = create_run(tmp_path / "run", PLAN)
    (run.path / "plan.json").write_bytes(content)
    with pytest.raises(RunError, match=r"plan\.json"):
        open_run(run.path)


# ── checkpoints


def test_a_later_attempt_starts_from_what_the_earlier_left(run: RunDir) -> None:
    first = run.checkpoint_dir("t", 1)
    (first / "10.pt").write_bytes(b"ten")
    (first / ".tmp-11").write_bytes(b"half")
    second = run.checkpoint_dir("t", 2)
    assert {p.name: p.read_bytes() for p in second.iterdir()} == {"10.pt": b"ten"}


def test_an_attempt_that_still_lives_cannot_disturb_a_later_one(run: RunDir) -> None:
    first = run.checkpoint_dir("t", 1)
    (first / "10.pt").write_bytes(b"ten")
    second = run.checkpoint_dir("t", 2)
    (first / "10.pt").unlink()
    (first / "20.pt").write_bytes(b"twenty")
    assert [p.name for p in second.iterdir()] == ["10.pt"]
    assert run.checkpoint_dir("t", 2) == second


def test_attempts_that_left_nothing_are_passed_over(run: RunDir) -> None:
    (run.checkpoint_dir("t", 1) / "10.pt").write_bytes(b"ten")
    shutil.rmtree(run.checkpoints("t") / "1")
    (run.checkpoints("t") / "1").mkdir()
    (run.checkpoint_dir("t", 2) / "20.pt").write_bytes(b"twenty")
    run.checkpoint_dir("t", 3)
    shutil.rmtree(run.checkpoints("t") / "3")
    (run.checkpoints("t") / "3").mkdir()
    assert [p.name for p in run.checkpoint_dir("t", 4).iterdir()] == ["20.pt"]


def test_checkpoints_of_a_finished_trial_go(run: RunDir) -> None:
    (run.checkpoint_dir("t", 1) / "10.pt").write_bytes(b"ten")
    run.drop_checkpoints("t")
    run.drop_checkpoints("t")
    assert not run.checkpoints("t").exists()


def test_a_path_that_submitit_would_rewrite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="would replace %j in paths"):
        create_run(tmp_path / "a %j b", PLAN)
    assert create_run(tmp_path / "100% sure", PLAN).path.is_dir()
