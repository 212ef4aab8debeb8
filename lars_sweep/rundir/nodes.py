"""Nodes whose hardware failed under a run, and those that get no more of its workers."""

from __future__ import annotations

from collections.abc import Iterable

from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir


def note_failure(
    run: RunDir, nodes: Iterable[str], attempt: str, *, exclude_after: int
) -> set[str]:
    """Count a failure of hardware against each of the nodes.

    Args:
        run: the run directory.
        nodes: where the attempt ran.
        attempt: which one, so that it counts once whoever notices it.
        exclude_after: failures after which a node is excluded.

    Returns:
        Nodes that are excluded from now on.
    """
    fresh = set()
    for node in nodes:
        publish.publish_new(run.scheduler / f"failed.{node}.{attempt}", b"")
        prefix = f"failed.{node}."
        failures = sum(name.startswith(prefix) for name in publish.names(run.scheduler))
        marker = run.scheduler / f"excluded.{node}"
        if failures >= exclude_after and publish.publish_new(marker, b""):
            fresh.add(node)
    return fresh


def excluded(run: RunDir) -> set[str]:
    """Nodes that get no more workers of this run."""
    names = publish.names(run.scheduler)
    return {name.removeprefix("excluded.") for name in names if name.startswith("excluded.")}
