"""The files of a report: complete, exact, and the same bytes for the same input."""

from __future__ import annotations

import csv
import hashlib
import html
import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from synthetic_outcomes import (
    as_table,
    layer_rows,
    report_of,
    source,
    sweep,
    tables,
    to_outcome,
)

from lars_sweep.errors import RunError, SpecError
from lars_sweep.fit.analysis import FitOptions
from lars_sweep.outcomes.loose import publish_outcome
from lars_sweep.report import ReportPaths, build_report, report_run
from lars_sweep.report.analyses import analyse_inputs, analyse_source
from lars_sweep.report.inputs import read_source
from lars_sweep.rundir.layout import create_run

SMALL: dict[str, Any] = {"batches": (512, 8192), "epochs": (15.0, 30.0), "lrs": 5, "fail": 0.05}
FIGURES = [
    "accuracy-vs-lr", "accuracy-vs-batch", "accuracy-vs-epochs", "accuracy-vs-steps",
    "generalization-gap", "layer-ratios", "divergence-edge", "training-curves",
]  # fmt: skip
TABLES = [
    "good-lrs", "good-lrs-measures", "lr-verdicts", "chosen", "batch-accuracy", "epochs-to-target",
    "steps-to-target-points", "gaps", "layer-norms", "endings", "points",
]  # fmt: skip


def digests(directory: Path) -> dict[str, str]:
    files = sorted(file for file in directory.rglob("*") if file.is_file())
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    out_dir = tmp_path_factory.mktemp("report")
    rows, curves = sweep(**SMALL)
    return report_of(
        as_table("outcomes", rows), as_table("curves", curves), {"Run id": "7f3a"}, out_dir,
        layers=as_table("layers", layer_rows(rows)),
    )  # fmt: skip


def test_every_file_is_there_and_no_other(report: ReportPaths) -> None:
    names = {f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg", "pdf", "csv")}
    expected = names | {"report.html", "fits", "fits.json", *(f"{name}.csv" for name in TABLES)}
    assert {file.name for file in report.html.parent.iterdir()} == expected
    assert list(report.figures) == FIGURES


def test_same_input_same_bytes_in_another_process_and_row_order(
    report: ReportPaths, tmp_path: Path
) -> None:
    script = (
        "import random, sys; from pathlib import Path\n"
        "from lars_sweep.report import workers\n"
        "workers.MANY_ROWS, workers.os.cpu_count = 1, lambda: 2\n"  # another process helps
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from synthetic_outcomes import as_table, layer_rows, report_of, sweep\n"
        f"rows, curves = sweep(**{SMALL!r})\n"
        "layers = layer_rows(rows)\n"
        "random.Random(1).shuffle(rows); random.Random(2).shuffle(curves)\n"
        "random.Random(3).shuffle(layers)\n"
        "report_of(as_table('outcomes', rows), as_table('curves', curves), {'Run id': '7f3a'},"
        " Path(sys.argv[1]), layers=as_table('layers', layers))\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", script, tmp_path / "again"], check=True, env=environment)
    assert digests(tmp_path / "again") == digests(report.html.parent)


def test_csv_holds_every_digit_of_every_seed(report: ReportPaths) -> None:
    rows, _ = sweep(**SMALL)
    drawn = list(csv.DictReader(report.figures["accuracy-vs-lr"].csv.read_text().splitlines()))
    seeds = sorted((float(d["lr"]), float(d["accuracy"])) for d in drawn if d["what"] == "seed")
    assert seeds == sorted((r["base_lr"], r["accuracy_val"]) for r in rows if r["status"] == "ok")
    lost = {(d["title"][:3], float(d["lr"])) for d in drawn if d["what"] == "diverged"}
    assert len(lost) == 2


def test_figures_hold_no_date_and_no_creator(report: ReportPaths) -> None:
    for paths in report.figures.values():
        svg, png, pdf = paths.svg.read_text(), paths.png.read_bytes(), paths.pdf.read_bytes()
        assert pdf.startswith(b"%PDF")
        assert not re.search(rb"CreationDate|Producer|Creator", pdf)
        assert "<dc:date>" not in svg
        assert not re.search(r"matplotlib\.org|Matplotlib v", svg)
        assert b"tEXt" not in png
        assert png.startswith(b"\x89PNG")


def test_no_global_figure_state_is_left(tmp_path: Path) -> None:
    before = dict(plt.rcParams)
    report_of(*tables(batches=(512,), lrs=2, seeds=1), {}, tmp_path)
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before


Rows = list[dict[str, Any]]


def ended(status: str, *, stop: float | None = 40.0) -> Rows:
    rows, _ = sweep(batches=(512, 8192), lrs=3, seeds=1)
    for row in rows:
        row |= {
            "status": status, "accuracy_val": None, "accuracy_tail": None,
            "accuracy": 10.0 if status == "diverged" else None, "accuracy_at_stop": stop,
        }  # fmt: skip
    return rows


def points(lrs: int, seeds: int = 1, batches: tuple[int, ...] = (512,)) -> Rows:
    rows, _ = sweep(optimizers=("lars",), batches=batches, lrs=lrs, seeds=seeds)
    return [row | {"status": "ok"} for row in rows if row["status"] == "ok"]


SEVERAL = (
    r"(?<![\d.,])1[ \u00a0](?:spare )?(?:batches|LRs|seeds|epochs|points|cells|settings|pairs|"
    r"combinations|strata|trials|steps)\b"
)


def constant() -> Rows:
    return [row | dict.fromkeys(("accuracy", "accuracy_val", "accuracy_tail"), 80.0)
            for row in points(5, seeds=2, batches=(512, 2048, 8192))]  # fmt: skip


LITTLE: dict[str, tuple[Rows, list[str]]] = {
    "diverged": (ended("diverged"), ["all runs diverged"]),
    "pruned": (ended("pruned"), ["all runs pruned"]),
    "pruned at once": (ended("pruned", stop=None), ["all runs pruned"]),
    "failed": (ended("failed"), ["no trial has finished"]),
    "nothing": ([], ["no trial has finished"]),
    "one point": (points(1), ["1 LR finished, 4 needed", "nly batch 512 was run"]),
    "two points": (points(2), ["2 LRs finished, 4 needed", "nly batch 512 was run"]),
    "one epoch": (
        [row | {"epochs": 1.0} for row in points(1, batches=(512, 2048, 8192))],
        ["1 LR finished, 4 needed", "set to 1 epoch:"],
    ),
    "one batch": (points(9, seeds=3), ["nly batch 512 was run"]),
    "no seeds": (points(9, batches=(512, 2048, 8192)), ["Too few replicate seeds"]),
    "constant accuracy": (constant(), ["no interval"]),
}


@pytest.mark.parametrize("name", LITTLE)
def test_too_little_data_gives_a_report_that_says_so(name: str, tmp_path: Path) -> None:
    rows, told = LITTLE[name]
    paths = report_of(as_table("outcomes", rows), as_table("curves", []), {}, tmp_path)
    page = html.unescape(paths.html.read_text())
    assert page.lower().count("the data cannot say") >= 2
    for words in told:
        assert words.lower() in page.lower()
    assert not re.search(SEVERAL, page)
    assert not re.search(
        r"\bnan\b|\binf\b|None", re.sub(r"<style>.*?</style>|base64,[^\"]*", "", page, flags=re.S)
    )


def test_published_numbers_are_labelled_on_every_figure(tmp_path: Path) -> None:
    (paper,) = [read_source(Path("paper/table4"))]
    paths = build_report([(paper, analyse_source(paper, FitOptions()))], tmp_path)
    assert paths.figures
    page = paths.html.read_text()
    assert "Published numbers (single runs, sigma unknown)" in page
    assert "Published tables" in page


def test_kinds_choose_the_sections(tmp_path: Path) -> None:
    outcomes, curves = tables(batches=(512, 8192), lrs=5, seeds=2)
    paths = report_of(outcomes, curves, {}, tmp_path, kinds=("batch", "curves"))
    assert list(paths.figures) == ["accuracy-vs-batch", "training-curves"]
    assert re.findall(r'<section id="([a-z-]+)"', paths.html.read_text()) == [
        "batch", "curves", "provenance",
    ]  # fmt: skip
    with pytest.raises(SpecError, match="got nonsense; allowed: lr-interval, best-lr"):
        report_of(outcomes, curves, {}, tmp_path, kinds=("nonsense",))


def test_several_runs_stay_apart(tmp_path: Path) -> None:
    """The same trial in two runs is shown twice, under the runs' labels."""
    outcomes, curves = tables(optimizers=("lars",), batches=(512, 8192), lrs=5, seeds=2)
    runs = [source(outcomes, curves, label=label) for label in ("first", "second")]
    paths = build_report([(run, analyse_source(run, FitOptions())) for run in runs], tmp_path)
    page = paths.html.read_text()
    assert "LARS, first" in page
    assert "LARS, second" in page
    shown = list(csv.DictReader((tmp_path / "points.csv").read_text().splitlines()))
    assert {row["run"] for row in shown} == {"first", "second"}
    assert len(shown) == 20
    alone = report_of(outcomes, curves, {}, tmp_path / "alone")
    assert "run" not in alone.tables[-1].read_text().splitlines()[0].split(",")


def test_random_points_with_another_searched_column(tmp_path: Path) -> None:
    rows, curves = sweep(batches=(512,), lrs=9, seeds=1)
    generator = random.Random(5)
    for row in rows:
        row["momentum"] = generator.uniform(0.8, 0.99)
        row["params"] = f'{{"base_lr": {row["base_lr"]}, "momentum": {row["momentum"]}}}'
    outcomes = as_table("outcomes", rows)
    page = report_of(outcomes, as_table("curves", curves), {}, tmp_path).html.read_text()
    assert re.search(r"<td class=\"number\">[\d.]+; momentum 0\.\d+</td>", page)


@pytest.mark.parametrize("paired", [False, True])
def test_a_run_directory(tmp_path: Path, paired: bool) -> None:
    rows, curves = sweep(optimizers=("lars",), batches=(512,), lrs=3, seeds=1)
    spec = {"protocol": {"delta": 0.5}, "seeds": {"paired": paired}}
    plan = {
        "sweep": "synthetic",
        "spec_hash": "ab" * 32,
        "trainer": "noop",
        "spec": json.dumps(spec),
    }
    run = create_run(tmp_path / "run", plan)
    for row in rows:
        mine = [line for line in curves if line["trial_id"] == row["trial_id"]]
        publish_outcome(run, to_outcome(row, mine))
    page = report_run(run, run.report).read_text()
    for fact in (run.run_id, "ab" * 32, "All 3 trials in 1 stratum ended ok"):
        assert fact in page
    assert page == build_report(analyse_inputs([run.path]), tmp_path / "by-hand").html.read_text()
    (told,) = json.loads((run.report / "fits.json").read_text())["runs"].values()
    assert told["options"]["paired"] is paired


def test_batch_and_epochs_that_act_apart_are_told_of(tmp_path: Path) -> None:
    (paper,) = analyse_inputs([Path("paper/table3")])
    assert "Batch and epochs acting" not in build_report([paper], tmp_path).html.read_text()
    both = analyse_inputs([Path("paper/table3"), Path("paper/table5")], pool=True)
    page = build_report(both, tmp_path / "both").html.read_text()
    assert "Batch and epochs acting through the number of steps alone is not rejected" in page


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="report's directory cannot be made"):
        report_of(*tables(batches=(512,), lrs=1, seeds=1), {}, tmp_path / "file" / "report")
