"""What the user asks of running workers: stop the run, prune trials. Read at step boundaries."""

from __future__ import annotations

from lars_sweep.rundir import breaker, publish
from lars_sweep.rundir.layout import RunDir


def request_stop(run: RunDir, reason: str) -> None:
    """Ask every worker to stop at its next step boundary, checkpointing what it holds."""
    publish.replace(run.requests / "stop", reason.encode())


def stop_requested(run: RunDir) -> bool:
    return (run.requests / "stop").exists()


def withdraw_stop(run: RunDir) -> None:
    """Let workers run again (`resume`)."""
    with publish.explained(run.requests):
        (run.requests / "stop").unlink(missing_ok=True)
    breaker.mend(run)


def request_prune(run: RunDir, trial_id: str, reason: str) -> bool:
    """Ask that the trial be pruned, running or waiting; False if it was asked before."""
    return publish.publish_new(run.requests / "prune" / trial_id, reason.encode())


def prune_requested(run: RunDir, trial_id: str) -> bool:
    return (run.requests / "prune" / trial_id).exists()
