"""A finished trial before it is sealed: one JSON file with its row and all measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lars_sweep.errors import DamagedFile
from lars_sweep.outcomes.schema import OUTCOMES
from lars_sweep.outcomes.tables import TableName, check_row
from lars_sweep.rundir import publish
from lars_sweep.rundir.failpoints import failpoint
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.records import read_record

_TIMESTAMPS = tuple(column.name for column in OUTCOMES if column.dtype == "timestamp")
Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished trial with everything that was measured in it."""

    row: Row
    """One value for each column of the outcomes table; timestamps as aware datetimes."""
    curve: Sequence[Row]
    layers: Sequence[Row]
    noise: Sequence[Row] = ()

    @property
    def trial_id(self) -> str:
        return str(self.row["trial_id"])

    @property
    def rows(self) -> Mapping[TableName, Sequence[Row]]:
        """Its rows of each table."""
        named = {"trial_id": self.trial_id}
        return {
            "outcomes": [self.row],
            "curves": [{**named, **row} for row in self.curve],
            "layers": [{**named, **row} for row in self.layers],
            "noise": [{**named, **row} for row in self.noise],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What the file holds; timestamps in Unix time."""

    row: dict[str, Any]
    curve: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    noise: list[dict[str, Any]] = field(default_factory=list)


def publish_outcome(run: RunDir, outcome: Outcome) -> bool:
    """Make the outcome durable; False if this trial has one already (the first one stands).

    Raises:
        ValueError: a row breaks the schema; published, it would make the whole run unreadable.
        RunError: it cannot be written.
    """
    _check(outcome)
    row = dict(outcome.row)
    for name in _TIMESTAMPS:
        moment = row[name]
        assert isinstance(moment, datetime)
        row[name] = moment.timestamp()
    content = {"row": row, "curve": list(outcome.curve), "layers": list(outcome.layers)}
    if outcome.noise:
        content["noise"] = list(outcome.noise)
    path = run.outcome(outcome.trial_id)
    first = publish.publish_new(path, publish.to_json_bytes(content), written="outcome-written")
    failpoint("outcome-published")
    return first


def read_loose(path: Path) -> Outcome | None:
    """The outcome in ``path``; None if it was sealed meanwhile.

    Raises:
        DamagedFile: it is not whole, or another trial's.
    """
    try:
        content = read_record(path, _Content)
    except FileNotFoundError:
        return None
    try:
        row = content.row
        for name in _TIMESTAMPS:
            row[name] = datetime.fromtimestamp(row[name], tz=UTC)
        outcome = Outcome(row=row, curve=content.curve, layers=content.layers, noise=content.noise)
        _check(outcome)
    except (LookupError, TypeError, ValueError, OverflowError, OSError) as error:
        raise DamagedFile(path, f"{type(error).__name__}: {error}") from error
    if outcome.trial_id != path.stem:
        raise DamagedFile(path, f"it is the outcome of trial {outcome.trial_id}")
    return outcome


def _check(outcome: Outcome) -> None:
    """ValueError if a row breaks the schema."""
    for table, rows in outcome.rows.items():
        for row in rows:
            check_row(table, row)


def loose_ids(run: RunDir) -> list[str]:
    """Trial ids with an unsealed outcome, sorted."""
    return [name.removesuffix(".json") for name in publish.names(run.outcomes)]
