"""The files of a report: complete, exact, and the same bytes for the same input."""

from __future__ import annotations

import csv
import hashlib
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from synthetic_outcomes import as_table, sweep, tables, to_outcome

from lars_sweep.errors import RunError
from lars_sweep.outcomes.loose import publish_outcome
from lars_sweep.report import ReportPaths, build_report, report_run
from lars_sweep.rundir.layout import create_run

SMALL: dict[str, Any] = {"batches": (512, 8192), "epochs": (15.0, 30.0), "lrs": 5, "fail": 0.05}
FIGURES = ["accuracy-vs-lr", "accuracy-vs-batch", "accuracy-vs-epochs", "training-curves"]


def digests(directory: Path) -> dict[str, str]:
    files = sorted(directory.iterdir())
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    out_dir = tmp_path_factory.mktemp("report")
    return build_report(*tables(**SMALL), {"Run id": "7f3a"}, out_dir)


def test_every_file_is_there_and_no_other(report: ReportPaths) -> None:
    names = {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg", "csv")}
    expected = names | {"report.html", "chosen.csv", "endings.csv", "points.csv"}
    assert {file.name for file in report.html.parent.iterdir()} == expected
    assert list(report.figures) == FIGURES


def test_same_input_same_bytes_in_another_process_and_row_order(
    report: ReportPaths, tmp_path: Path
) -> None:
    script = (
        "import random, sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from synthetic_outcomes import as_table, sweep\n"
        "from lars_sweep.report import build_report\n"
        f"rows, curves = sweep(**{SMALL!r})\n"
        "random.Random(1).shuffle(rows); random.Random(2).shuffle(curves)\n"
        "build_report(as_table('outcomes', rows), as_table('curves', curves),"
        " {'Run id': '7f3a'}, Path(sys.argv[1]))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", script, tmp_path / "again"], check=True, env=environment)
    assert digests(tmp_path / "again") == digests(report.html.parent)


def test_csv_holds_every_digit_of_every_trial(report: ReportPaths) -> None:
    rows, _ = sweep(**SMALL)
    drawn = list(csv.DictReader(report.figures["accuracy-vs-lr"].csv.read_text().splitlines()))
    counted = {row["trial_id"]: row for row in rows if row["status"] != "failed"}
    assert {line["trial_id"] for line in drawn} == set(counted)
    for line in drawn:
        row = counted[line["trial_id"]]
        assert float(line["base_lr"]) == row["base_lr"]
        if row["status"] == "ok":
            assert float(line["choice_accuracy"]) == row["accuracy_val"]


def test_figures_hold_no_date_and_no_creator(report: ReportPaths) -> None:
    for paths in report.figures.values():
        svg, png = paths.svg.read_text(), paths.png.read_bytes()
        assert "<dc:date>" not in svg
        assert not re.search(r"matplotlib\.org|Matplotlib v", svg)
        assert b"tEXt" not in png
        assert png.startswith(b"\x89PNG")


def test_no_global_figure_state_is_left(tmp_path: Path) -> None:
    before = dict(plt.rcParams)
    build_report(*tables(batches=(512,), lrs=2, seeds=1), {}, tmp_path)
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before


@pytest.mark.parametrize("status", ["diverged", "pruned", "failed", "empty", "pruned at once"])
def test_too_little_data_gives_a_report_that_says_so(status: str, tmp_path: Path) -> None:
    rows, _ = sweep(batches=(512, 8192), lrs=3, seeds=1)
    stop = None if status == "pruned at once" else 40.0
    for row in rows:
        row |= {
            "status": status.split()[0], "accuracy_val": None, "accuracy_tail": None,
            "accuracy": 10.0 if status == "diverged" else None, "accuracy_at_stop": stop,
        }  # fmt: skip
    table = as_table("outcomes", [] if status == "empty" else rows)
    paths = build_report(table, as_table("curves", []), {}, tmp_path)
    page = paths.html.read_text()
    assert page.count("the data cannot say") >= 2
    expected = ["accuracy-vs-lr"] if status in ("diverged", "pruned", "pruned at once") else []
    assert list(paths.figures) == expected


def test_random_points_with_another_searched_column(tmp_path: Path) -> None:
    rows, curves = sweep(batches=(512,), lrs=9, seeds=1)
    generator = random.Random(5)
    for row in rows:
        row["momentum"] = generator.uniform(0.8, 0.99)
        row["params"] = f'{{"base_lr": {row["base_lr"]}, "momentum": {row["momentum"]}}}'
    outcomes = as_table("outcomes", rows)
    page = build_report(outcomes, as_table("curves", curves), {}, tmp_path).html.read_text()
    assert "Searched together with the LR: momentum." in page
    assert re.search(r"<td class=\"number\">[\d.]+; momentum 0\.\d+</td>", page)


def test_a_run_directory(tmp_path: Path) -> None:
    rows, curves = sweep(optimizers=("lars",), batches=(512,), lrs=3, seeds=1)
    plan = {"sweep": "synthetic", "spec_hash": "ab" * 32, "trainer": "noop"}
    run = create_run(tmp_path / "run", plan)
    for row in rows:
        mine = [line for line in curves if line["trial_id"] == row["trial_id"]]
        publish_outcome(run, to_outcome(row, mine))
    page = report_run(run, run.report).read_text()
    for fact in (run.run_id, "ab" * 32, "All 3 trials in 1 stratum ended ok"):
        assert fact in page


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="report's directory cannot be made"):
        build_report(*tables(batches=(512,), lrs=1, seeds=1), {}, tmp_path / "file" / "report")
