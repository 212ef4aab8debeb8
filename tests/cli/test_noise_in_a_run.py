"""A sweep that asks for the noise scale: from its file through a worker to the report."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
from clikit import Here, lars_sweep
from runkit import GRID, write_sweep

from lars_sweep.rundir.layout import open_run
from lars_sweep.study.plan import load_plan

SHORT = ["space.epochs=0.5", "space.base_lr=0.05", "data.augmentation=none"]


def test_a_worker_measures_what_the_sweep_asks_for(cli: Here, tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, GRID + "[noise_scale]\nevaluations = 2\nmeasurements = 6\n")
    overrides = [word for change in SHORT for word in ("--set", change)]
    path = tmp_path / "measured"
    done = lars_sweep("launch", sweep, *overrides, "--run-dir", path, "--wait")
    assert done.returncode == 0, done.stderr
    assert "4 trials in 2 strata, 2,560 images and 4,608 for the noise scale" in done.stderr
    run = open_run(path)

    other = tmp_path / "plain"
    plain = cli("plan", write_sweep(tmp_path), *overrides, "--trials", other)
    assert plain.status == 0
    ids = {queued.trial_id for queued in load_plan(run).queue}
    assert ids == {file.stem for file in other.iterdir()}, "measuring is no field of a trial"

    table = tmp_path / "noise.parquet"
    assert cli("collect", path, "--out", table, "--table", "noise").status == 0
    rows = pq.read_table(table).to_pylist()
    assert len(rows) == len(ids) * 2 * 6
    assert all(row["micro_square"] > row["mean_square"] > 0 for row in rows)
    entries = json.loads(cli("fit", path, "--json").out)["runs"]["measured"]["noise_scale"]
    assert [
        (entry["key"]["global_batch"], point["step"], point["runs"], point["measurements"])
        for entry in entries
        for point in entry["result"]["points"]
    ] == [(64, 5, 2, 6), (64, 10, 2, 6), (128, 3, 2, 6), (128, 5, 2, 6)]
    assert "The gradient noise scale" in (path / "report" / "report.html").read_text()
