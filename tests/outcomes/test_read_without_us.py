"""Outcome files are plain Parquet: other tools read them without this package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from runkit import finish, outcomes_of

from lars_sweep.outcomes.loose import publish_outcome
from lars_sweep.outcomes.schema import CURVES, EXECUTION_COLUMNS, LAYERS, OUTCOMES
from lars_sweep.outcomes.seal import seal, seal_all
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir.layout import RunDir


@pytest.fixture
def sealed(run: RunDir) -> RunDir:
    for outcome in outcomes_of(run):
        publish_outcome(run, outcome)
    seal_all(run)
    return run


def test_duckdb_reads_the_parts(sealed: RunDir) -> None:
    pattern = f"{sealed.path}/parts/outcomes/*.parquet"
    rows = duckdb.sql(
        f"select global_batch, count(*), avg(accuracy) from '{pattern}' group by 1 order by 1"
    ).fetchall()
    assert rows == [(64, 6, 60.5), (128, 6, 60.5)]
    joined = duckdb.sql(
        f"select count(*) from '{pattern}' join '{sealed.path}/parts/curves/*.parquet' "
        "using (trial_id)"
    ).fetchall()
    assert joined == [(24,)]


def test_duckdb_sees_types_and_metadata(sealed: RunDir) -> None:
    pattern = f"{sealed.path}/parts/outcomes/*.parquet"
    types = {row[0]: row[1] for row in duckdb.sql(f"describe select * from '{pattern}'").fetchall()}
    assert types["accuracy"] == "DOUBLE"
    assert types["seed"] == "BIGINT"
    assert types["nesterov"] == "BOOLEAN"
    assert types["started_at"] == "TIMESTAMP WITH TIME ZONE"
    metadata = duckdb.sql(f"select key, value from parquet_kv_metadata('{pattern}')").fetchall()
    assert (b"lars_sweep.schema_version", b"1") in metadata


def test_a_fresh_interpreter_without_the_package_reads_a_collected_file(
    sealed: RunDir, tmp_path: Path
) -> None:
    out = tmp_path / "o.parquet"
    pq.write_table(load_table(sealed, "outcomes"), out)
    code = (
        "import sys, pandas\n"
        f"frame = pandas.read_parquet({str(out)!r})\n"
        "assert 'lars_sweep' not in sys.modules\n"
        "print(len(frame), frame.accuracy.mean(), frame.started_at.dt.tz, frame.seed.dtype)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "12 60.5 UTC int64\n"


def test_pandas_reads_a_directory_of_parts(run: RunDir) -> None:
    for outcome in outcomes_of(run):
        publish_outcome(run, outcome)
        seal(run, [outcome.trial_id])
    frame = pd.read_parquet(run.parts("outcomes"))
    assert len(frame) == 12
    assert list(frame.columns) == [column.name for column in OUTCOMES]


@pytest.mark.parametrize("table", [OUTCOMES, CURVES, LAYERS])
def test_every_column_says_what_it_means(table: tuple) -> None:  # type: ignore[type-arg]
    names = [column.name for column in table]
    assert len(set(names)) == len(names)
    assert all(column.meaning for column in table)


def test_execution_columns_are_columns() -> None:
    assert {column.name for column in (*OUTCOMES, *CURVES)} >= EXECUTION_COLUMNS
    assert "accuracy" not in EXECUTION_COLUMNS


def test_the_columns_of_the_outcomes_table_are_frozen() -> None:
    """Adding, renaming or moving one is a new schema version."""
    assert " ".join(column.name for column in OUTCOMES) == (
        "trial_id sweep stratum point params status cause model dataset split augmentation "
        "optimizer lars_variant granularity zero_norm momentum_form global_batch bn_batch base_lr "
        "lr_peak lr_integral lr_excluded trust_coefficient momentum nesterov weight_decay "
        "exclusions schedule poly_origin power warmup_epochs warmup_start epochs steps epochs_done "
        "steps_done images_seen samples seed precision bn_eval init zero_norm_events accuracy "
        "accuracy_val accuracy_tail accuracy_last5 accuracy_top5 accuracy_at_stop test_loss "
        "train_loss diverged_step attempts wall_s device_s images_per_s device versions git_commit "
        "spec_hash started_at finished_at"
    )


def test_a_finished_run_keeps_few_files(run: RunDir) -> None:
    finish(run)
    assert sum(path.is_file() for path in run.path.rglob("*")) == 4  # plan, worker, two parts
