"""launch --simulate: a whole sweep in seconds, in a directory that no training ever joins."""

from __future__ import annotations

import json
from pathlib import Path

from clikit import Here, lars_sweep
from runkit import write_sweep


def test_a_simulated_sweep_goes_through_workers_status_and_resume(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    done = lars_sweep("launch", sweep, "--simulate", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "SIMULATED: nothing is trained" in done.stderr
    run = tmp_path / "runs" / "SIMULATED-small"
    assert lars_sweep("status", run, "--watch").returncode == 0
    status = json.loads(lars_sweep("status", run, "--json").stdout)
    assert (status["finished"], status["trials"], status["sweep"]) == (12, 12, "SIMULATED-small")
    assert any(note.startswith("SIMULATED") for note in status["notes"])
    assert "all 12 trials are finished" in lars_sweep("resume", run).stderr
    real = lars_sweep("launch", sweep, "--run-dir", run)
    assert real.returncode == 1
    assert "launched with other trainer (analytic, not torch)" in real.stderr


def test_it_needs_no_files_of_a_data_set_whose_size_is_known(cli: Here) -> None:
    done = cli("launch", "paper/table3b", "--simulate", "--dry-run")
    assert done.status == 0, done.err
    assert "32,768" in done.out


def test_it_is_no_smoke_test(cli: Here, tmp_path: Path) -> None:
    done = cli("launch", write_sweep(tmp_path), "--simulate", "--smoke")
    assert done.status == 2
    assert "--smoke trains, --simulate does not" in done.err
