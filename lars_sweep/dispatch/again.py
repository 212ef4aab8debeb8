"""Trying failed trials again: their outcomes are taken back, and their attempts go on counting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from lars_sweep.dispatch.notes import failures
from lars_sweep.errors import SpecError
from lars_sweep.outcomes.seal import seal_all
from lars_sweep.outcomes.store import load_table
from lars_sweep.outcomes.withdraw import withdraw
from lars_sweep.rundir import claims
from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.asked import AskedPoint, publish_point
from lars_sweep.study.plan import Plan, load_plan

_SHOWN = 10


def retry_failed(run: RunDir, *, cause: str | None = None) -> int:
    """Open failed trials again; workers go on with them, from a checkpoint if one is left.

    Kill-proof: a trial either keeps its failed outcome or is open, with all its attempts.

    Args:
        run: the run directory.
        cause: only trials whose cause contains this, in any case.

    Returns:
        How many trials are open again.

    Raises:
        SpecError: no failed trial has this cause.
        RunError: the run directory cannot be written.
    """
    seal_all(run)
    found = withdraw(
        run,
        partial(_is_wanted, cause=cause),
        first=partial(_give_back, run, load_plan(run)),
    )
    if not found and cause is not None:
        raise SpecError(f"--cause {cause!r}: {_known_causes(run)}")
    return len(found)


def _is_wanted(row: Mapping[str, Any], *, cause: str | None) -> bool:
    if row["status"] != "failed":
        return False
    return cause is None or cause.casefold() in str(row["cause"]).casefold()


def _give_back(run: RunDir, plan: Plan, row: Mapping[str, Any]) -> None:
    """Say in the run directory what only the outcome's row still said."""
    if plan.is_adaptive:
        publish_point(run, AskedPoint(row["stratum"], row["point"], json.loads(row["params"])))
    claims.restore(
        run.claims,
        row["trial_id"],
        attempts=row["attempts"],
        started_at=row["started_at"].timestamp(),
        wall_s=row["wall_s"],
        reason=str(row["cause"]),
    )


def _known_causes(run: RunDir) -> str:
    causes = failures(load_table(run, "outcomes", ["status", "cause"]).to_pylist())
    if not causes:
        return "no trial has failed"
    known = ", ".join(f"{cause!r} ({count})" for cause, count in list(causes.items())[:_SHOWN])
    return f"no failed trial has this in its cause; there are: {known}"
