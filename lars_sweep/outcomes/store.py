"""Reading all outcomes of a run: sealed parts plus loose files, each trial once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lars_sweep.errors import DamagedFile, OutcomeError
from lars_sweep.outcomes.loose import Outcome, Row, loose_ids, read_loose
from lars_sweep.outcomes.schema import SCHEMA_VERSION
from lars_sweep.outcomes.tables import COLUMNS, TableName, arrow_schema, to_table
from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.records import warn_of_damage

logger = logging.getLogger(__name__)

ORDERED_BY = ("trial_id", "step", "layer", "measurement")


def load_table(run: RunDir, table: TableName, columns: Sequence[str] | None = None) -> pa.Table:
    """All rows of finished trials, sorted by trial (and step), each trial once.

    A part or a loose outcome that cannot be read is left out with a warning that names it;
    `resume` sets it aside and runs its trials again.

    Args:
        run: the run directory.
        table: outcomes, curves, layers or noise.
        columns: only these (``trial_id`` is always there); None: all.

    Raises:
        OutcomeError: a part was written by a newer lars-sweep.
    """
    # Loose files are listed before parts: one that is sealed in between is then found in a part.
    loose = [_read_loose(run, trial_id) for trial_id in loose_ids(run)]
    parts = _read_parts(run, table, columns)
    wanted = arrow_schema(table) if columns is None else _subset(arrow_schema(table), columns)
    sealed = concat_unique(parts)
    seen = set() if sealed is None else set(pc.unique(sealed["trial_id"]).to_pylist())
    fresh = [outcome for outcome in loose if outcome and outcome.trial_id not in seen]
    loose_rows = to_table(table, _rows(table, fresh)).select(wanted.names)
    pieces = [loose_rows] if sealed is None else [sealed.select(wanted.names), loose_rows]
    result = pa.concat_tables(pieces).combine_chunks()
    keys = [(key, "ascending") for key in ORDERED_BY if key in wanted.names]
    return result.sort_by(keys).replace_schema_metadata(wanted.metadata)


def _read_loose(run: RunDir, trial_id: str) -> Outcome | None:
    try:
        return read_loose(run.outcome(trial_id))
    except DamagedFile as error:
        again = f"its trial is missing here; `lars-sweep resume {run.path}` runs it again"
        warn_of_damage(error.path, again)
        return None


def sealed_ids(part: Path) -> list[str] | None:
    """Trial ids in one part of any table; None if it is gone or unreadable."""
    try:
        return _ids_in(part)
    except (pa.ArrowException, OSError):
        return None


def is_broken(part: Path) -> bool:
    """Whether there is a file that is no (whole) Parquet file.

    Raises:
        OSError: the operating system cannot read it, which says nothing about its content.
    """
    try:
        _ids_in(part)
    except FileNotFoundError:
        return False
    except (pa.ArrowException, OSError) as error:
        if getattr(error, "errno", None) is not None:  # pyarrow's own complaints carry none
            raise
        return True
    return False


def _ids_in(part: Path) -> list[str]:
    return [str(i) for i in read_part(part, ["trial_id"])["trial_id"].to_pylist()]


def read_part(part: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of one part.

    Args:
        part: the file.
        columns: only these; None: all.

    Raises:
        OutcomeError: it was written by a newer lars-sweep.
        FileNotFoundError: it is gone: merged, or set aside.
        pa.ArrowException: it is no (whole) Parquet file.
    """
    with pq.ParquetFile(part) as file:  # pq.read_table would load pandas, for half a second
        version = int((file.schema_arrow.metadata or {}).get(b"lars_sweep.schema_version", b"0"))
        if version > SCHEMA_VERSION:
            raise OutcomeError(
                f"{part}: schema version {version}, this lars-sweep reads up to {SCHEMA_VERSION}: "
                "use the version that wrote it"
            )
        return file.read(columns=columns)


def _read_parts(run: RunDir, table: TableName, columns: Sequence[str] | None) -> list[pa.Table]:
    """All readable parts; listed again when a compaction changed them underneath."""
    directory = run.parts(table)
    while True:
        listed = publish.names(directory)
        tables = []
        for name in listed:
            try:
                tables.append(read_part(directory / name, _with_id(columns)))
            except FileNotFoundError:
                continue
            except (pa.ArrowException, OSError) as error:
                logger.warning(
                    "%s cannot be read (%s): its trials are missing here; `lars-sweep resume %s` "
                    "sets it aside and runs them again",
                    directory / name,
                    str(error).splitlines()[0],
                    run.path,
                )
        if publish.names(directory) == listed:
            return tables


def _with_id(columns: Sequence[str] | None) -> list[str] | None:
    return None if columns is None else list(dict.fromkeys(["trial_id", *columns]))


def _subset(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    names = _with_id(columns) or []
    return pa.schema([schema.field(name) for name in names], metadata=schema.metadata)


def concat_unique(parts: Sequence[pa.Table]) -> pa.Table | None:
    """All parts as one table, each trial from the first part that holds it; None for no parts.

    Two sealers may seal one trial: the rows are the same, so it does not matter which one stays.
    """
    seen: pa.Array = pa.nulls(0, pa.string())  # pa.array would load pandas
    pieces = []
    for part in parts:
        pieces.append(part.filter(pc.invert(pc.is_in(part["trial_id"], value_set=seen))))
        seen = pa.concat_arrays([seen, pc.unique(part["trial_id"])])
    return pa.concat_tables(pieces) if pieces else None


def to_tables(outcomes: Sequence[Outcome]) -> dict[TableName, pa.Table]:
    """The tables of these outcomes."""
    return {name: to_table(name, _rows(name, outcomes)) for name in COLUMNS}


def _rows(table: TableName, outcomes: Sequence[Outcome]) -> list[Row]:
    return [row for outcome in outcomes for row in outcome.rows[table]]
