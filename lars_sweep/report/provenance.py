"""Where the numbers come from, as (name, value) pairs read off the outcomes and the caller."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

SHOWN = 4
"""Distinct values of a column that are printed before the rest is counted."""

COLUMNS = {
    "sweep": "Sweep",
    "spec_hash": "Spec hash",
    "model": "Model",
    "dataset": "Data set",
    "samples": "Training samples N",
    "precision": "Precision",
    "bn_eval": "BatchNorm in evaluations",
    "versions": "Versions",
    "device": "Device",
    "git_commit": "Git commit",
}


def provenance_facts(
    outcomes: pa.Table, given: Mapping[str, object], protocol: str
) -> list[tuple[str, str]]:
    """Facts in a fixed order; those of the caller come first, under the names it gave them.

    Args:
        outcomes: all outcome rows, failed ones included.
        given: what only the caller knows, as in ``{"Run id": "7f3a"}``; takes the place of a fact
            of the same name.
        protocol: the protocol in words.
    """
    facts = [(name, _text(value)) for name, value in given.items()]
    facts.append(("Protocol", protocol.removeprefix("protocol ")))
    facts += [
        (label, _values(outcomes[name]))
        for name, label in COLUMNS.items()
        if name in outcomes.column_names and label not in given
    ]
    started, finished = pc.min(outcomes["started_at"]), pc.max(outcomes["finished_at"])
    facts.append(("First trial started", _time(started.as_py())))
    facts.append(("Last trial finished", _time(finished.as_py())))
    hours = (pc.sum(outcomes["device_s"]).as_py() or 0.0) / 3600
    facts.append(("Device-hours", f"{hours:,.2f}"))
    again = pc.sum(pc.greater(outcomes["attempts"], 1)).as_py() or 0
    facts.append(("Trials with several attempts", f"{again:,}"))
    return facts


def _values(column: pa.ChunkedArray) -> str:
    values = sorted(str(value) for value in column.drop_null().unique().to_pylist())
    shown = "; ".join(values[:SHOWN])
    return (
        f"{shown}; {len(values) - SHOWN} more" if len(values) > SHOWN else shown or "not recorded"
    )


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)
    return str(value)


def _time(value: datetime | None) -> str:
    return "not recorded" if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"
