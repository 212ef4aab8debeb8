"""Loose outcomes become parts; whatever dies in between, each trial is there once and whole."""

from __future__ import annotations

import dataclasses
import json
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from runkit import files_in, outcomes_of

from lars_sweep.errors import OutcomeError
from lars_sweep.outcomes import seal as sealing
from lars_sweep.outcomes.loose import Outcome, loose_ids, publish_outcome, read_loose
from lars_sweep.outcomes.seal import PART_TRIALS, seal, seal_all, set_aside_unreadable
from lars_sweep.outcomes.store import load_table, sealed_ids
from lars_sweep.outcomes.tables import COLUMNS, TableName, arrow_schema
from lars_sweep.rundir import attempts, claims, publish
from lars_sweep.rundir.layout import RunDir

TABLES: tuple[TableName, ...] = ("outcomes", "curves", "layers", "noise")


class Killed(BaseException):
    """Stands for SIGKILL in this process: nothing may catch it."""


def publish_all(run: RunDir) -> list[Outcome]:
    """Every trial of the run finished but not sealed, with the small files that this takes."""
    outcomes = outcomes_of(run)
    for outcome in outcomes:
        claims.take(run.claims, outcome.trial_id, 1, "worker")
        attempts.append(run.attempt_log(outcome.trial_id, 1), {"step": 1})
        (run.checkpoint_dir(outcome.trial_id, 1) / "1.pt").touch()
        publish_outcome(run, outcome)
    return outcomes


def tables(run: RunDir) -> dict[TableName, pa.Table]:
    return {table: load_table(run, table) for table in TABLES}


def parts(run: RunDir, table: TableName = "outcomes") -> list[Path]:
    return [run.parts(table) / name for name in publish.names(run.parts(table))]


# ── loose


def test_a_loose_outcome_comes_back_exactly(run: RunDir) -> None:
    outcome = outcomes_of(run)[0]
    assert publish_outcome(run, outcome)
    assert read_loose(run.outcome(outcome.trial_id)) == outcome


def test_the_first_outcome_stands(run: RunDir) -> None:
    outcome = outcomes_of(run)[0]
    publish_outcome(run, outcome)
    other = dataclasses.replace(outcome, row={**outcome.row, "accuracy": 1.0})
    assert not publish_outcome(run, other)
    assert read_loose(run.outcome(outcome.trial_id)) == outcome


def test_an_outcome_that_was_sealed_meanwhile_is_none(run: RunDir) -> None:
    assert read_loose(run.outcome("0" * 16)) is None


# ── tables


def test_loose_and_sealed_outcomes_make_the_same_tables(run: RunDir) -> None:
    outcomes = publish_all(run)
    loose = tables(run)
    seal(run, [outcome.trial_id for outcome in outcomes[:5]])
    mixed = tables(run)
    seal_all(run)
    sealed = tables(run)
    for table in TABLES:
        assert loose[table] == mixed[table] == sealed[table]
        assert loose[table].schema.equals(arrow_schema(table), check_metadata=True)
        assert sealed[table].schema.equals(arrow_schema(table), check_metadata=True)
    assert (sealed["outcomes"].num_rows, sealed["curves"].num_rows) == (12, 24)


def test_rows_are_sorted_by_trial_and_step(run: RunDir) -> None:
    publish_all(run)
    seal(run, loose_ids(run)[6:])
    ids = load_table(run, "outcomes")["trial_id"].to_pylist()
    assert ids == sorted(ids)
    keys = [(r["trial_id"], r["step"]) for r in load_table(run, "curves").to_pylist()]
    assert keys == sorted(keys)


def test_noise_is_kept_as_it_was_measured(run: RunDir) -> None:
    (first, *_) = publish_all(run)
    seal_all(run)
    rows = [r for r in load_table(run, "noise").to_pylist() if r["trial_id"] == first.trial_id]
    assert [(r["measurement"], r["micro_square"], r["mean_square"]) for r in rows] == [
        (number, 3.0 + number / 10, 2.0) for number in range(5)
    ]


def test_a_run_from_before_the_noise_scale_is_read_and_sealed(run: RunDir) -> None:
    """Its outcomes have no such key, its directory no such folder."""
    run.parts("noise").rmdir()
    for outcome in outcomes_of(run):
        publish_outcome(run, dataclasses.replace(outcome, noise=()))
        assert "noise" not in json.loads(run.outcome(outcome.trial_id).read_text())
    before = tables(run)
    assert (before["noise"].num_rows, before["outcomes"].num_rows) == (0, 12)
    seal(run, loose_ids(run)[:5])
    seal_all(run)
    assert tables(run) == before
    assert not run.parts("noise").exists()


def test_only_the_columns_asked_for_are_read(run: RunDir) -> None:
    publish_all(run)
    seal(run, loose_ids(run)[:3])
    assert load_table(run, "outcomes", ["seed", "status"]).column_names == [
        "trial_id", "seed", "status",
    ]  # fmt: skip


def test_a_run_without_outcomes_has_empty_tables(run: RunDir) -> None:
    for table in TABLES:
        empty = load_table(run, table)
        assert empty.num_rows == 0
        assert empty.schema.equals(arrow_schema(table), check_metadata=True)


@pytest.mark.parametrize("table", TABLES)
def test_units_and_meanings_travel_with_the_parts(run: RunDir, table: TableName) -> None:
    publish_all(run)
    seal_all(run)
    schema = pq.read_schema(parts(run, table)[0])
    assert schema.metadata[b"lars_sweep.schema_version"] == b"1"
    assert schema.metadata[b"lars_sweep.table"] == table.encode()
    for column, field in zip(COLUMNS[table], schema, strict=True):
        assert field.name == column.name
        assert field.nullable == column.nullable
        assert field.metadata[b"unit"].decode() == column.unit
        assert field.metadata[b"meaning"].decode() == column.meaning


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"status": None}, r"outcomes\.status is null"),
        ({"speed": 1.0}, "not in the outcomes schema or not in the row: speed"),
    ],
)
def test_a_row_that_breaks_the_schema_is_refused(
    run: RunDir, change: dict[str, object], message: str
) -> None:
    outcome = outcomes_of(run)[0]
    broken = dataclasses.replace(outcome, row={**outcome.row, **change})
    with pytest.raises(ValueError, match=message):
        publish_outcome(run, broken)
    assert loose_ids(run) == []


# ── sealing


def test_sealing_removes_the_small_files(run: RunDir) -> None:
    publish_all(run)
    seal_all(run)
    left = [name for name in files_in(run) if name != "plan.json"]
    assert len(left) == len(TABLES)
    assert {name.rpartition("/")[0] for name in left} == {f"parts/{table}" for table in TABLES}
    assert not any((run.path / "checkpoints").iterdir())


def test_sealing_what_is_not_loose_does_nothing(run: RunDir) -> None:
    publish_all(run)
    seal_all(run)
    before = files_in(run)
    seal(run, [outcome.trial_id for outcome in outcomes_of(run)])
    seal_all(run)
    assert files_in(run) == before


@pytest.mark.parametrize("hit", [1, 2, 3, 4])
@pytest.mark.parametrize("point", ["part-written", "part-published"])
def test_a_crash_while_sealing_loses_and_doubles_nothing(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, point: str, hit: int
) -> None:
    publish_all(run)
    before = tables(run)
    hits = 0

    def die(name: str) -> None:
        nonlocal hits
        hits += name == point
        if hits == hit:
            raise Killed

    monkeypatch.setattr(publish, "failpoint", die)
    monkeypatch.setattr(sealing, "failpoint", die)
    if point == "part-written" or hit == 1:
        with pytest.raises(Killed):
            seal_all(run)
    assert tables(run) == before
    monkeypatch.undo()
    seal_all(run)
    assert tables(run) == before
    assert loose_ids(run) == []
    assert claims.holdings(run.claims) == {}


@pytest.mark.parametrize("files", range(5))
def test_a_crash_while_small_files_go_loses_and_doubles_nothing(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    publish_all(run)
    before = tables(run)
    unlink = Path.unlink
    left = files

    def die(path: Path, missing_ok: bool = False) -> None:
        nonlocal left
        if not path.name.startswith((".tmp-", "turn")):
            if left == 0:
                raise Killed
            left -= 1
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", die)
    with pytest.raises(Killed):
        seal_all(run)
    assert tables(run) == before
    monkeypatch.undo()
    seal_all(run)
    assert tables(run) == before
    assert len(files_in(run)) == 1 + len(TABLES)


def test_two_sealers_of_the_same_outcomes_make_no_doubles(run: RunDir) -> None:
    outcomes = publish_all(run)
    before = tables(run)
    ids = [outcome.trial_id for outcome in outcomes]
    seal(run, ids)
    for outcome in outcomes:  # the second one read them before the first removed them
        publish_outcome(run, outcome)
    seal(run, ids)
    assert len(parts(run)) == 2
    assert tables(run) == before
    seal_all(run)
    assert len(parts(run)) == 1
    assert tables(run) == before


def test_small_parts_are_merged_and_full_ones_left(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealing, "PART_TRIALS", 5)
    publish_all(run)
    before = tables(run)
    ids = loose_ids(run)
    seal(run, ids[:5])
    full = parts(run)
    for start in range(5, 12):
        seal(run, ids[start : start + 1])
    assert len(parts(run)) == 8
    seal_all(run)
    assert full[0] in parts(run)
    assert sorted(len(sealed_ids(part) or ()) for part in parts(run)) == [2, 5, 5]
    assert tables(run) == before
    assert PART_TRIALS == 256


@pytest.mark.parametrize("kept", TABLES)
def test_a_crash_while_merging_loses_and_doubles_nothing(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    publish_all(run)
    before = tables(run)
    ids = loose_ids(run)
    seal(run, ids[:4])
    seal(run, ids[4:])
    unlink = Path.unlink

    def die(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == kept:
            raise Killed
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", die)
    with pytest.raises(Killed):
        seal_all(run)
    assert tables(run) == before
    monkeypatch.undo()
    seal_all(run)
    assert tables(run) == before


# ── damage


def _truncate(path: Path, share: float = 0.5) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("table", TABLES)
def test_a_truncated_part_is_named_set_aside_and_its_trials_are_open_again(
    run: RunDir, caplog: pytest.LogCaptureFixture, table: TableName, share: float
) -> None:
    publish_all(run)
    ids = loose_ids(run)
    seal(run, ids[:4])
    (broken,) = parts(run, table)
    seal(run, ids[4:])
    _truncate(broken, share)
    with caplog.at_level(logging.WARNING):
        kept = set(load_table(run, table)["trial_id"].to_pylist())
    assert kept == set(ids[4:])
    (record,) = caplog.records
    assert str(broken) in record.getMessage()
    assert f"`lars-sweep resume {run.path}` sets it aside and runs them" in record.getMessage()

    caplog.clear()
    moved = set_aside_unreadable(run)
    assert [record.getMessage() for record in caplog.records] == [
        f"{broken} cannot be read: set aside in {run.path}/set-aside, its trials run again"
    ]
    assert {path.name for path in moved} == {f"{t}-{broken.name}" for t in TABLES}
    assert all(path.exists() for path in moved)
    for name in TABLES:
        assert set(load_table(run, name)["trial_id"].to_pylist()) == set(ids[4:])
    caplog.clear()
    assert set_aside_unreadable(run) == []
    assert caplog.records == []


def test_whole_parts_stay_where_they_are(run: RunDir) -> None:
    publish_all(run)
    seal_all(run)
    before = files_in(run)
    assert set_aside_unreadable(run) == []
    assert files_in(run) == before


@pytest.mark.parametrize("table", TABLES)
def test_a_part_of_a_newer_schema_is_refused(run: RunDir, table: TableName) -> None:
    publish_all(run)
    seal_all(run)
    (part,) = parts(run, table)
    content = pq.read_table(part)
    newer = {**content.schema.metadata, b"lars_sweep.schema_version": b"2"}
    pq.write_table(content.replace_schema_metadata(newer), part)
    with pytest.raises(OutcomeError, match="schema version 2, this lars-sweep reads up to 1: use"):
        load_table(run, table)


def test_loose_outcomes_that_a_part_holds_too_count_once(run: RunDir) -> None:
    outcomes = publish_all(run)
    seal_all(run)
    before = tables(run)
    publish_outcome(run, outcomes[0])
    assert tables(run) == before
    seal_all(run)
    assert loose_ids(run) == []
    assert tables(run) == before
