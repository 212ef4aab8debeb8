"""Outcomes from anywhere: what is read, what is refused and why, what is one trial."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from synthetic_outcomes import source as file_source

from lars_sweep.errors import OutcomeError, RunError
from lars_sweep.outcomes.tables import arrow_schema
from lars_sweep.report import inputs
from lars_sweep.report.inputs import (
    completed,
    fixture_of,
    pooled,
    read_source,
    read_sources,
    to_rows,
)
from lars_sweep.report.labels import chosen_on, protocol_label, reported_on
from lars_sweep.report.observations import GIVEN, observe

TABLE = pa.table(
    {
        "model": ["net"] * 4,
        "global_batch": [256, 256, 1024, 1024],
        "epochs": [10, 10, 10, 10],
        "samples": [50_000] * 4,
        "accuracy": [70.5, 70.25, None, 69.0],
        "base_lr": [0.1, 0.1, 0.2, 0.2],
        "seed": [0, 1, 0, 1],
        "status": ["ok", "ok", "failed", "ok"],
    }
)


def write(path: Path, table: pa.Table = TABLE) -> Path:
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".CSV"])
def test_a_table_is_read_as_it_is(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / "mine.csv") if suffix == ".CSV" else write(tmp_path / f"mine{suffix}")
    source = read_source(path.rename(path.with_suffix(suffix)))
    rows = to_rows(source.outcomes)
    assert (source.label, source.delta, source.curves) == ("mine", None, None)
    assert rows["global_batch"].tolist() == [256, 256, 1024, 1024]
    np.testing.assert_array_equal(rows["accuracy"], [70.5, 70.25, np.nan, 69.0])
    assert rows.status.tolist() == ["ok", "ok", "failed", "ok"]


def without(*names: str) -> pa.Table:
    return TABLE.drop_columns(list(names))


def changed(name: str, values: list[object]) -> pa.Table:
    return TABLE.set_column(TABLE.column_names.index(name), name, pa.array(values))


def test_files_that_cannot_be_outcomes(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no table")
    with pytest.raises(OutcomeError, match=r"'\.txt'; allowed: \.parquet, \.csv"):
        read_source(text)
    with pytest.raises(OutcomeError, match="there is no such file or run directory"):
        read_source(tmp_path / "absent.csv")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 nothing")
    with pytest.raises(OutcomeError, match="cannot be read as parquet"):
        read_source(broken)
    with pytest.raises(RunError):
        read_source(tmp_path)


def test_a_trial_counts_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = TABLE.append_column("trial_id", pa.array(["a", "b", "c", "a"]))
    source = read_source(write(tmp_path / "twice.parquet", table))
    assert source.outcomes["trial_id"].to_pylist() == ["a", "b", "c"]
    assert "1 rows repeat a trial" in caplog.text
    again = read_source(write(tmp_path / "again.parquet", table.slice(1, 2)))
    both = pooled([source, again])
    assert both.outcomes["trial_id"].to_pylist() == ["a", "b", "c"]
    assert both.label == "twice + again"


def test_runs_without_an_accuracy_do_not_pass_as_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for table in (changed("accuracy", [70.5, float("nan"), None, 69.0]), TABLE.slice(0, 3)):
        plain = table.drop_columns(["status"]) if table.num_rows == 3 else table
        source = read_source(write(tmp_path / "mine.parquet", plain))
        at = 1 if plain is table else 2
        assert source.outcomes["status"].to_pylist()[at] == "failed"
        assert source.provenance["Rows without accuracy"] == "1, counted as failed"
        assert f"the first one row {at + 1}, count as failed: 1; give their" in caplog.text
    assert "Rows without accuracy" not in read_source(write(tmp_path / "all.csv")).provenance


def test_rows_that_repeat_another_are_told_and_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = read_source(write(tmp_path / "twice.csv", pa.concat_tables([TABLE, TABLE])))
    assert source.outcomes.num_rows == 8
    assert source.provenance["Rows that repeat another"] == "4, counted as seeds of their own"
    assert "every column, seed included, and count as seeds of their own: 4; leave" in caplog.text
    seeds = changed("seed", [0, 0, 1, 1])  # the accuracies differ
    assert set(read_source(write(tmp_path / "once.csv", seeds)).provenance) == {"File"}


def test_labels_tell_inputs_apart(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = [write(tmp_path / "a" / "x.csv"), write(tmp_path / "b" / "x.csv")]
    labels = [source.label for source in read_sources([*paths, paths[0]])]
    assert labels == [f"x ({paths[0]})", f"x ({paths[1]})"]


def test_columns_without_any_value_say_nothing() -> None:
    table = TABLE.append_column("accuracy_val", pa.nulls(4, pa.float64()))
    assert "accuracy_val" not in to_rows(table)
    unmeasured = changed("accuracy", [None] * 4)
    assert np.isnan(to_rows(unmeasured).floats("accuracy")).all()


def test_a_table_from_elsewhere_is_completed_for_the_figures(tmp_path: Path) -> None:
    source = read_source(write(tmp_path / "mine.parquet", without("seed", "status")))
    table = completed(source)
    assert table.column_names == arrow_schema("outcomes").names
    assert table["seed"].to_pylist() == [0, 1, 0, 1]
    assert len(set(table["trial_id"].to_pylist())) == 4
    assert table["stratum"].unique().to_pylist() == [
        "model=net global_batch=256 epochs=10 samples=50000",
        "model=net global_batch=1024 epochs=10 samples=50000",
    ]


def test_a_table_that_names_no_split_gets_none_of_the_protocols() -> None:
    assert set(completed(file_source(TABLE))["split"].to_pylist()) == {GIVEN}
    val = TABLE.append_column("accuracy_val", pa.array([70.0, 70.0, None, 69.0]))
    assert set(completed(file_source(val))["split"].to_pylist()) == {"held_out"}
    observations = observe(completed(file_source(TABLE)), arrow_schema("curves").empty_table())
    assert protocol_label(observations).startswith("accuracy as given: the table does not say")
    assert chosen_on(observations) == reported_on(observations) == "as given"
    assert observations.strata["choice_mean"].tolist() == [70.375, 69.0]


def test_a_fixture_names_the_inputs_that_it_holds_for() -> None:
    measured = file_source(TABLE)
    made = dataclasses.replace(measured, label="made", fixture="SIMULATED")
    again = dataclasses.replace(made, label="again")
    assert fixture_of([made, again]) == "SIMULATED"
    assert fixture_of([measured, made, again]) == "SIMULATED: made and again"
    assert pooled([measured, made]).fixture == "SIMULATED: made"
    assert fixture_of([measured]) == ""


def test_many_layer_rows_are_thinned_by_evaluation_point(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(trial, step, layer) for trial in "ab" for step in (1, 2, 3, 4, 5) for layer in "xy"]
    names = ("trial_id", "step", "layer")
    columns = zip(names, zip(*rows, strict=True), strict=True)
    table = pa.table({name: list(values) for name, values in columns})
    assert inputs.thinned(table) is table
    monkeypatch.setattr(inputs, "LAYER_ROWS", 10)
    kept = inputs.thinned(table).to_pylist()
    assert [(r["trial_id"], r["step"], r["layer"]) for r in kept] == [
        row for row in rows if row[1] in (1, 3, 5)
    ]


# ── the paper's tables


def test_the_papers_tables_are_one_input_without_repeats() -> None:
    source = read_source(Path("paper"))
    rows = to_rows(source.outcomes)
    assert "published" in source.fixture
    # 18 + 10 + 10 + 15 + 7 rows, of which three of Table 5 repeat Tables 3 and 4
    assert len(rows) == 57
    assert rows["status"].tolist().count("diverged") == 2
    longer = rows.where(rows["table"] == "5a")
    assert set(longer.floats("base_lr")) == {14.0}
    assert set(rows.where(rows["table"] == "5c")["augmentation"]) == {"extended"}


def test_caffes_decay_makes_the_largest_lr_of_googlenet() -> None:
    rows = to_rows(read_source(Path("paper/table6")).outcomes)
    peaks = dict(zip(rows["global_batch"].tolist(), rows.floats("lr_peak").tolist(), strict=True))
    assert [round(peaks[batch], 1) for batch in (4096, 8192, 16384)] == [7.2, 5.8, 4.7]


def test_table_2_holds_no_outcomes() -> None:
    with pytest.raises(OutcomeError, match="holds no accuracies"):
        read_source(Path("paper/table2"))
