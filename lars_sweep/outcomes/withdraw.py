"""Taking outcomes out of the sealed parts, so that their trials run again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lars_sweep.outcomes.seal import ORDER, sealing, write_part
from lars_sweep.outcomes.store import read_part, sealed_ids
from lars_sweep.outcomes.tables import TableName
from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir


def withdraw(
    run: RunDir,
    wanted: Callable[[Mapping[str, Any]], bool],
    *,
    first: Callable[[Mapping[str, Any]], None],
) -> set[str]:
    """Remove sealed outcomes; returns the ids of their trials.

    A part is replaced by one without them: what dies in between leaves both parts, and the
    outcomes stand. Safe beside running workers and readers.

    Args:
        run: the run directory.
        wanted: of a row of the outcomes, whether it goes.
        first: called with each such row before anything is removed; may be called again for it
            after a crash.
    """
    with sealing(run):
        found: dict[str, list[str]] = {}
        for name in publish.names(run.parts("outcomes")):
            if sealed_ids(run.parts("outcomes") / name) is None:
                continue  # `resume` sets it aside
            for row in read_part(run.parts("outcomes") / name).to_pylist():
                if wanted(row):
                    first(row)
                    found.setdefault(name, []).append(row["trial_id"])
        for name, trial_ids in found.items():
            _rewrite(run, name, trial_ids)
    return {trial_id for trial_ids in found.values() for trial_id in trial_ids}


def _rewrite(run: RunDir, name: str, trial_ids: list[str]) -> None:
    """Replace a part by one without these trials."""
    kept: dict[TableName, pa.Table] = {}
    for table in ORDER:
        path = run.parts(table) / name
        if path.exists():
            part = read_part(path)
            gone = pc.is_in(part["trial_id"], value_set=pa.array(trial_ids))
            kept[table] = part.filter(pc.invert(gone))
    if kept["outcomes"].num_rows:
        write_part(run, kept)
    for table in reversed(ORDER):  # outcomes first: what is left is then no outcome
        (run.parts(table) / name).unlink(missing_ok=True)
