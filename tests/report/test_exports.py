"""Fits as files: every digit, the paper's layout, the same bytes for the same input."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from synthetic_outcomes import as_table, sweep

from lars_sweep.fit.analysis import Analysis, FitOptions, analyse
from lars_sweep.fit.answers import Kind
from lars_sweep.fit.rows import Rows
from lars_sweep.report.against import compare_with_paper
from lars_sweep.report.exports import export_files, file_stem, fits_json, paper_tables
from lars_sweep.report.fit_tables import fit_tables
from lars_sweep.report.inputs import read_source, to_rows


def published(name: str, **options: object) -> Analysis:
    rows = to_rows(read_source(Path(name)).outcomes)
    return analyse(rows, options=FitOptions(**options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def paper() -> Analysis:
    return published("paper", kinds=("epochs", "best-lr"))


TABLE_3A = """\
alexnet lars: accuracy at the chosen LR of each batch.

| Batch | Base LR | Warm-up, epochs | Epochs | Accuracy, % |
| --: | --: | --: | --: | --: |
| 512 | 2 | 2 | 100 | 58.7 |
| 4K | 10 | 2 | 100 | 58.5 |
| 8K | 10 | 2 | 100 | 58.2 |
| 16K | 14 | 2 | 100 | 55.0 |
| 32K | 14 | 2 | 100 | 46.9 |
"""


def test_table_3_comes_out_as_the_paper_prints_it() -> None:
    tables = {t.name: t for t in paper_tables(published("paper/table3", kinds=()))}
    assert tables["table-batch-alexnet-lars"].markdown().decode() == TABLE_3A
    latex = tables["table-batch-alexnet_bn-lars"].latex().decode()
    assert r"\caption{alexnet\_bn lars: accuracy at the chosen LR of each batch.}" in latex
    assert r"32K & 22 & 5 & 100 & 57.8 \\" in latex
    assert latex.count(r"\\") == 6


def test_stems_are_short_and_plain_and_stay_apart() -> None:
    assert file_stem("alexnet_bn-lars-0.9") == "alexnet_bn-lars-0.9"
    odd = ["m" * 300, "m" * 301, "org/net", "org_net", 'a"<b>\\c%#d', "学" * 100, "a b"]
    stems = [file_stem(text) for text in odd]
    assert len(set(stems)) == len(odd)
    assert all(re.fullmatch(r"[\w.+=-]+", stem) for stem in stems)
    assert max(len(stem.encode()) for stem in stems) < 140
    assert stems[2].startswith("org_net-")


def test_a_name_of_300_letters_gets_its_files(tmp_path: Path) -> None:
    rows = to_rows(read_source(Path("paper/table3")).outcomes)
    long = Rows({**rows.columns, "model": np.full(len(rows), "m" * 300, dtype=object)})
    analysis = analyse(long.where(rows["model"] == "alexnet"), options=FitOptions(kinds=()))
    files = export_files({"long": analysis})
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert list(tmp_path.glob("fits/table-batch-mmm*.md"))


def test_table_5_is_a_table_over_epochs() -> None:
    (batch, epochs) = paper_tables(published("paper/table5", kinds=()))[:2]
    assert len(batch.rows) == 1
    assert epochs.rows[0] == ("100", "55.0")
    assert epochs.rows[-1] == ("200", "58.2")
    assert "batch 16K" in epochs.caption


def test_lost_baselines_are_never_compatible_with_the_papers_curves(paper: Analysis) -> None:
    lars = {
        (e.key["model"], e.key["augmentation"]): e.found
        for e in paper.epochs
        if e.key["optimizer"] == "lars"
    }
    for setting, target in (
        (("alexnet", "minimal"), 58.7),
        (("alexnet_bn", "minimal"), 60.2),
        (("resnet50", "extended"), 75.8),
    ):
        finding = lars[setting]
        assert finding is not None
        assert finding.steps.target.value == target
        baseline, *larger = finding.answers
        assert baseline.batch == finding.steps.target.batch
        assert (baseline.epochs.kind, baseline.epochs.value) == (Kind.REACHED, 100)
        assert {at.epochs.kind for at in larger} == {Kind.NEVER_COMPATIBLE}


def test_saturation_is_the_best_form_over_the_four_networks(paper: Analysis) -> None:
    (pooled,) = (entry.found for entry in paper.best_lr_pooled)
    assert pooled is not None
    assert min(pooled, key=lambda form: pooled[form]) == "saturating"
    assert pooled["linear"] == max(pooled.values())


def test_json_holds_every_fit_and_its_form(paper: Analysis) -> None:
    content = json.loads(fits_json({"paper": paper}))
    run = content["runs"]["paper"]
    first = run["epochs"][0]
    assert first["status"] == "fitted"
    forms = [fit["form"] for fit in first["result"]["steps"]["fit"]["averaged"]["fits"]]
    assert forms == ["exp", "hinge2", "power", "seff_exp"]
    assert {e["status"] for e in run["epochs"]} == {"fitted", "too_little"}
    assert all(e["reason"] for e in run["epochs"] if e["status"] != "fitted")
    assert run["lr_interval"] == []
    assert run["options"]["kinds"] == ["epochs", "best-lr"]


def test_csv_holds_every_digit_and_the_kind_of_answer(paper: Analysis) -> None:
    files = export_files({"paper": paper})
    rows = list(csv.DictReader(io.StringIO(files["fits/epochs-to-target.csv"].decode())))
    entry = paper.epochs[0].found
    assert entry is not None
    limit = entry.answers[0].epochs.interval
    assert limit is not None
    assert float(rows[0]["epochs_to_target_low"]) == limit.low
    assert rows[0]["epochs_to_target_kind"] == "reached"
    assert rows[1]["epochs_to_target_high"] == ""
    assert rows[1]["epochs_to_target_kind"] == "never_compatible"
    assert list(rows[0])[:3] == ["model", "optimizer", "augmentation"]
    assert not any("np." in content.decode() for content in files.values())


def test_the_same_input_gives_the_same_bytes_through_parquet(tmp_path: Path) -> None:
    outcomes, _ = sweep(batches=(128, 512), optimizers=("lars",), seeds=2)
    table = as_table("outcomes", outcomes)
    path = tmp_path / "outcomes.parquet"
    pq.write_table(table, path)
    kinds = FitOptions(kinds=("lr-interval", "batch"))
    direct = analyse(to_rows(table), options=kinds)
    reread = analyse(to_rows(read_source(path).outcomes), options=kinds)
    assert export_files({"run": direct}) == export_files({"run": reread})


def test_several_runs_have_folders_of_their_own(paper: Analysis) -> None:
    names = export_files({"one": paper, "two/three": paper})
    assert "fits/one/best-lr.csv" in names
    assert f"fits/{file_stem('two/three')}/best-lr.csv" in names
    assert len(json.loads(names["fits.json"])["runs"]) == 2


def test_every_table_says_why_a_row_is_empty(paper: Analysis) -> None:
    for table in fit_tables(paper):
        for record in table.records:
            values = [value for name, value in record.items() if name not in ("model", "optimizer")]
            assert any(value not in (None, "") for value in values)


# ── beside the paper


def test_the_paper_beside_itself_differs_nowhere(paper: Analysis) -> None:
    rows = to_rows(read_source(Path("paper")).outcomes)
    compared = compare_with_paper(analyse(rows, options=FitOptions(kinds=())), rows)
    assert compared.reason == ""
    assert len(compared.rows) == 45
    for row in compared.rows:
        assert row.delta.value == 0.0
        assert row.delta.kind is Kind.NO_SIGMA
        assert row.published_loss == row.our_loss
        assert all(text.startswith("not recorded") for text in row.differences)


def test_our_runs_beside_the_paper_carry_their_differences() -> None:
    outcomes, _ = sweep(batches=(512, 8192), epochs=(100.0,), optimizers=("lars",), seeds=3)
    rows = to_rows(as_table("outcomes", outcomes))
    compared = compare_with_paper(analyse(rows, options=FitOptions(kinds=("lr-interval",))), rows)
    assert [row.key.global_batch for row in compared.rows] == [512, 8192]
    last = compared.rows[-1]
    assert last.published == 60.1
    assert last.delta.interval is not None
    # at least the 0.25 points that are assumed of the published run
    assert last.delta.interval.width > 2 * 1.96 * 0.25
    assert last.published_loss == pytest.approx(0.1)
    assert any(text.startswith("split held_out (paper: paper)") for text in last.differences)
    assert last.published_lr_is in ("in", "out", "undecided")


def test_what_the_paper_does_not_have_is_said() -> None:
    outcomes, _ = sweep(models=("resnet8",), batches=(512,), optimizers=("lars",), seeds=1)
    rows = to_rows(as_table("outcomes", outcomes))
    compared = compare_with_paper(analyse(rows, options=FitOptions(kinds=())), rows)
    assert compared.rows == ()
    assert compared.reason.startswith("the paper has no resnet8; it has alexnet")
