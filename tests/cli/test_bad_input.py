"""Every wrong input gets one readable message that says what, where, got, allowed: no traceback."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from clikit import Here, lars_sweep
from runkit import GRID, StopsAt, make_run, sampled, worker_of, write_sweep

from lars_sweep.outcomes.loose import loose_ids
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.strata import Stratum

FILE = [
    ("unknown key", "epochs = 2", "epochs = 2\nepoch = 3", r":17: space\.epoch: got unknown key"),
    ("unknown table", "[seeds]", "[seed]", r": seed: got unknown key 'seed'"),
    (
        "wrong type",
        "count = 2",
        'count = "two"',
        r':20: seeds\.count: got "two"; allowed: an int',
    ),
    (
        "number as text",
        "0.1, 0.2",
        '"0.1", 0.2',
        r':17: space\.base_lr\[0\]: got "0\.1"; allowed',
    ),
    ("negative LR", "0.1, 0.2", "-0.1, 0.2", r":17: space\.base_lr\[0\]: got -0\.1; allowed: a "),
    ("zero LR", "0.1, 0.2", "0, 0.2", r":17: space\.base_lr\[0\]: got 0; allowed: a number"),
    ("no multiple", "bn_batch = 32", "bn_batch = 48", r"global_batch: got 64; allowed: a multiple"),
    ("too large", "[64, 128]", "[64, 4096]", r":15: space\.global_batch: got 4,096; allowed: at m"),
    ("empty axis", "[0.1, 0.2, 0.4]", "[]", r":17: space\.base_lr: got an empty list; allowed: at"),
    ("a value twice", "0.1, 0.2, 0.4", "0.1, 0.1", r":17: space\.base_lr\[1\]: got 0\.1 again; a"),
    ("epochs 0", "epochs = 2", "epochs = 0", r":16: space\.epochs: got 0; allowed: a number > 0"),
    ("no TOML", "[seeds]", "[seeds", r"sweep\.toml"),
    ("no name", 'name = "small"\n', "", r": name: got nothing; allowed: a value; required"),
    ("other data", '"digits"', '"digit"', r':8: data\.name: got "digit"; allowed: one of digits,'),
    (
        "other model",
        '"small_alexnet_bn"',
        '"alexnot"',
        r':5: model\.name: got "alexnot"; allowed: d',
    ),
]


@pytest.mark.parametrize("command", ["plan", "launch"])
@pytest.mark.parametrize(
    ("given", "wrong", "message"), [row[1:] for row in FILE], ids=[row[0] for row in FILE]
)
def test_a_wrong_sweep_file_is_refused_with_its_line(
    cli: Here, tmp_path: Path, command: str, given: str, wrong: str, message: str
) -> None:
    assert given in GRID
    sweep = write_sweep(tmp_path, GRID.replace(given, wrong))
    arguments = ["--run-dir", tmp_path / "run"] if command == "launch" else []
    done = cli(command, sweep, *arguments)
    assert done.status == 2
    assert done.out == ""
    assert done.err.startswith("error: ")
    assert re.search(message, done.err), done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "run").exists()


def test_all_problems_come_at_once(cli: Here, tmp_path: Path) -> None:
    text = GRID.replace("epochs = 2", "epochs = 0").replace("0.1, 0.2", "-0.1, 0.2")
    done = cli("plan", write_sweep(tmp_path, text), "--set", "seeds.count=0")
    assert len(done.err.splitlines()) == 3
    assert "--set: seeds.count: got 0" in done.err


def test_an_unknown_table_of_an_override_is_not_the_files_fault(cli: Here, tmp_path: Path) -> None:
    done = cli("plan", write_sweep(tmp_path), "--set", "nope.x=1")
    assert done.status == 2
    assert done.err.startswith("error: --set: nope: got unknown key 'nope'; allowed: ")


def test_a_file_with_a_byte_order_mark_is_read(cli: Here, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    before = cli("plan", sweep, "--json").out
    sweep.write_text(sweep.read_text(), encoding="utf-8-sig")
    assert cli("plan", sweep, "--json").out == before
    profile = tmp_path / "mine.toml"
    profile.write_text('executor = "local"\nworkers = 3\n', encoding="utf-8-sig")
    done = cli("launch", sweep, "--profile", profile, "--dry-run")
    assert "it would be 3 workers" in done.err


def test_points_that_are_the_same_trial_are_refused(cli: Here, tmp_path: Path) -> None:
    text = GRID.replace("epochs = 2", "epochs = 2\nwarmup = [{epochs = 1}, {epochs = 1}]")
    assert cli("plan", write_sweep(tmp_path, text)).status == 2
    text = GRID.replace("[seeds]", '[strategy]\nstrata = ["global_batch"]\n[seeds]').replace(
        "epochs = 2", "epochs = [2, 2.0]"
    )
    assert cli("plan", write_sweep(tmp_path, text)).status == 2


def test_a_budget_is_kept(cli: Here, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, GRID + "[budget]\ntrials = 10\n")
    for command in (["plan", sweep], ["launch", sweep, "--run-dir", tmp_path / "run"]):
        done = cli(*command)
        assert done.status == 1
        assert done.err.splitlines()[-1] == (
            "error: over budget: the plan needs 12 trials, budget.trials allows 10: shrink the "
            "sweep or raise it (--set budget.trials=…)"
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("override", "trials"),
    [
        ("seeds.count=1000000000", "6,000,000,000"),
        ("space.base_lr={log = [0.001, 10], points = 20000}", "80,000"),
    ],
)
def test_a_plan_far_over_its_budget_is_counted_and_not_made(
    cli: Here, tmp_path: Path, override: str, trials: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object) -> None:
        raise AssertionError("a trial was made")

    monkeypatch.setattr(Stratum, "trial", resolve)
    sweep = write_sweep(tmp_path, GRID + "[budget]\ntrials = 10\n")
    done = cli("plan", sweep, "--set", override)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"error: over budget: the plan needs {trials} trials, budget.trials")


def test_the_sampled_points_of_a_plan_are_counted_too(cli: Here, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, sampled("tpe", 10**9, seeds=2) + "[budget]\ntrials = 10\n")
    done = cli("plan", sweep)
    assert done.status == 1
    assert "the plan needs at least 2,000,000 trials, budget.trials allows 10" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan"], "Missing argument 'SWEEP'"),
        (["plan", "x.toml", "--nonsense"], "No such option"),
        (["launch", "quickstart", "--workers", "0"], "Invalid value for '--workers'"),
        (["nonsense"], "No such command 'nonsense'"),
        (["collect", "x"], "Missing option '--out'"),
    ],
)
def test_wrong_usage_is_2(cli: Here, arguments: list[str], message: str) -> None:
    done = cli(*arguments)
    assert done.status == 2
    assert message in done.err


# ── run directories

WITH_A_RUN = ["status", "cancel", "resume", "collect", "export", "report"]


def _with(command: str, run: Path) -> list[str | Path]:
    extra: dict[str, list[str | Path]] = {
        "collect": ["--out", run.parent / "o.parquet"],
        "export": ["--to-optuna", f"sqlite:///{run.parent}/s.db"],
    }
    return [command, run, *extra.get(command, [])]


@pytest.mark.parametrize("command", [name for name in WITH_A_RUN if name != "report"])
def test_no_run_directory_is_1(cli: Here, tmp_path: Path, command: str) -> None:
    done = cli(*_with(command, tmp_path / "absent"))
    assert (done.status, done.out) == (1, "")
    assert done.err == (
        f"error: {tmp_path}/absent is no run directory (no plan.json in it): "
        "`lars-sweep launch SWEEP --run-dir DIR` makes one\n"
    )


def test_a_report_on_nothing_is_1_and_names_what_it_takes(cli: Here, tmp_path: Path) -> None:
    done = cli("report", tmp_path / "absent")
    assert (done.status, done.out) == (1, "")
    assert done.err.splitlines()[-1] == (
        f"error: {tmp_path}/absent: there is no such file or run directory; name a run directory, "
        "a .parquet or .csv file of outcomes, or `paper` for the published tables"
    )


@pytest.mark.parametrize("command", WITH_A_RUN)
def test_a_run_of_a_newer_version_is_1(cli: Here, run: RunDir, command: str) -> None:
    path = run.path / "plan.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "run_version": 99}))
    done = cli(*_with(command, run.path))
    assert done.status == 1
    assert "run_version 99, this lars-sweep reads 1: use the version that made the" in done.err


def test_the_run_of_another_sweep_is_1(cli: Here, run: RunDir, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, GRID.replace("epochs = 2", "epochs = 3"))
    done = cli("launch", sweep, "--run-dir", run.path)
    assert done.status == 1
    assert "holds sweep 'small' with other settings" in done.err
    assert "choose another --run-dir" in done.err
    assert not list(run.launches.iterdir())


def test_a_directory_of_something_else_is_1(cli: Here, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    done = cli("launch", sweep, "--run-dir", tmp_path)
    assert done.status == 1
    assert f"{tmp_path} holds 'sweep.toml' and is no run directory" in done.err


def test_a_full_disk_is_1(cli: Here, tmp_path: Path, tmpfs: Callable[[str], Path]) -> None:
    place = tmpfs("size=4k,nr_inodes=8")
    done = cli("launch", write_sweep(tmp_path), "--run-dir", place / "run")
    assert done.status == 1
    assert "No space left on device: the disk is full; free some, then try again" in done.err


def test_a_read_only_disk_is_1(
    cli: Here,
    tmp_path: Path,
    tmpfs: Callable[[str], Path],
    remount: Callable[[Path, str], None],
) -> None:
    place = tmpfs("size=1m")
    run = make_run(place)
    worker_of(run, StopsAt(run, 3)).work()
    remount(place, "ro")
    assert cli("status", run.path).status == 0
    assert cli("collect", run.path, "--out", tmp_path / "o.parquet").status == 0
    for command in ("cancel", "resume"):
        done = cli(command, run.path)
        assert done.status == 1, command
        assert "the file system is read-only" in done.err
    done = cli("collect", run.path, "--out", place / "o.parquet")
    assert (done.status, "the file system is read-only" in done.err) == (1, True)


def test_collecting_onto_a_full_disk_leaves_nothing(
    cli: Here, run: RunDir, tmpfs: Callable[[str], Path]
) -> None:
    worker_of(run, StopsAt(run, 9)).work()
    place = tmpfs("size=4k")
    done = cli("collect", run.path, "--out", place / "o.parquet")
    assert done.status == 1
    assert f"cannot write {place}/o.parquet: No space left on device" in done.err
    assert list(place.iterdir()) == []


def test_collecting_an_unknown_table_is_2(cli: Here, run: RunDir, tmp_path: Path) -> None:
    done = cli("collect", run.path, "--out", tmp_path / "o", "--table", "losses")
    assert (done.status, done.err) == (
        2,
        "error: --table: got 'losses'; allowed: outcomes, curves, layers, noise\n",
    )


def test_a_truncated_part_is_named_and_resume_sets_it_aside(cli: Here, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    worker_of(run, StopsAt(run, 9)).work()
    (part,) = run.parts("outcomes").iterdir()
    part.write_bytes(part.read_bytes()[:-100])
    done = cli("status", run.path)
    assert done.status == 0
    assert done.err.startswith(f"WARNING: {part} cannot be read (")
    assert "0/12 done" in done.out
    done = cli("collect", run.path, "--out", tmp_path / "o.parquet")
    assert str(part) in done.err
    assert "0 rows" in done.err


def test_an_unknown_profile_is_2(cli: Here, run: RunDir) -> None:
    done = cli("resume", run.path, "--profile", "nosuch")
    assert done.status == 2
    assert "nosuch" in done.err
    assert loose_ids(run) == []


def test_an_unexpected_error_keeps_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import lars_sweep.rundir.layout as layout\n"
        "def open_run(path): raise AssertionError('a defect')\n"
        "layout.open_run = open_run\n"
    )
    done = lars_sweep("status", tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert done.stderr.endswith("AssertionError: a defect\n")
