"""What the user asks of running workers: stop the run, prune trials. Read at step boundaries."""

from __future__ import annotations

import contextlib

from lars_sweep.errors import RunError
from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir


def request_stop(run: RunDir, reason: str) -> None:
    """Ask every worker to stop at its next step boundary, checkpointing what it holds."""
    publish.replace(run.requests / "stop", reason.encode())


def stop_requested(run: RunDir) -> bool:
    return (run.requests / "stop").exists()


def withdraw_stop(run: RunDir) -> None:
    """Let workers run again (`resume`)."""
    with publish.explained(run.requests):
        for name in ("stop", "breaker", "streak"):
            (run.requests / name).unlink(missing_ok=True)


def note_failure(run: RunDir, kind: str, *, stop_after: int) -> None:
    """Count a failed attempt; after so many of one kind in a row no worker takes a new trial.

    Two workers that count at once may count one; the next failure makes up for it.
    """
    path = run.requests / "streak"
    last, count = "", 0
    with contextlib.suppress(FileNotFoundError, RunError):
        content = publish.read_json(path)
        last, count = str(content["kind"]), int(str(content["count"]))
    count = count + 1 if last == kind else 1
    publish.replace(path, publish.to_json_bytes({"kind": kind, "count": count}), durable=False)
    if count >= stop_after:
        reason = f"{count} attempts in a row ended with: {kind}"
        publish.publish_new(run.requests / "breaker", reason.encode())


def note_success(run: RunDir) -> None:
    """A trial went through: what failed before was not everything's fault."""
    (run.requests / "streak").unlink(missing_ok=True)


def breaker(run: RunDir) -> str | None:
    """Why no worker takes new trials, if so many failed alike that it cannot be the trials."""
    try:
        return (run.requests / "breaker").read_text()
    except FileNotFoundError:
        return None


def request_prune(run: RunDir, trial_id: str, reason: str) -> bool:
    """Ask that the trial be pruned, running or waiting; False if it was asked before."""
    return publish.publish_new(run.requests / "prune" / trial_id, reason.encode())


def prune_requested(run: RunDir, trial_id: str) -> bool:
    return (run.requests / "prune" / trial_id).exists()
