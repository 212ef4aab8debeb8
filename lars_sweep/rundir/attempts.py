"""The log of one attempt: a JSON line per evaluation, appended as it is measured.

What a live view, a pruner and `why` read while a trial runs; the outcome itself carries the whole
curve again, so a log that dies with its writer loses nothing that was published.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.trainer import choice_accuracy


def read_attempt_log(path: Path) -> list[dict[str, Any]]:
    """Evaluations in order of steps, each once.

    A torn last line (its writer died) is left out, as are damaged ones: a view lacks a point there.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    # A resumed attempt measures again what came after its checkpoint: the newest line counts.
    by_step = {entry["step"]: entry for entry in _whole(lines)}
    return [by_step[step] for step in sorted(by_step)]


def _whole(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                yield entry


def read_curve(path: Path) -> dict[int, float]:
    """Number of the evaluation, 1..K → the accuracy that a choice may look at, percent."""
    return {
        number: choice_accuracy(entry["val_accuracy"], entry["test_accuracy"])
        for number, entry in enumerate(read_attempt_log(path), start=1)
    }


def append(path: Path, entry: Mapping[str, Any]) -> None:
    """Add one evaluation."""
    with publish.explained(path), path.open("ab") as file:
        file.write(publish.to_json_bytes(dict(entry)) + b"\n")


def carry_over(run: RunDir, trial_id: str, attempt: int) -> None:
    """Begin an attempt's log with what earlier attempts measured."""
    for earlier in range(attempt - 1, 0, -1):
        entries = read_attempt_log(run.attempt_log(trial_id, earlier))
        if entries:
            lines = b"".join(publish.to_json_bytes(entry) + b"\n" for entry in entries)
            publish.replace(run.attempt_log(trial_id, attempt), lines, durable=False)
            return
