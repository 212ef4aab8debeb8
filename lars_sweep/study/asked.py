"""Asked points of adaptive strategies: one small file each, numbered, published by link.

The number is the lock: of two workers that ask at once for point 17, one publishes it and the
other asks again, for point 18, with point 17 in view. So ``n_points`` is exact without a lease,
and each point draws from a random stream of its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from lars_sweep.errors import DamagedFile
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import publish
from lars_sweep.rundir.failpoints import failpoint
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.records import read_if_whole, read_record, set_aside
from lars_sweep.spec.strata import Point
from lars_sweep.study.plan import Plan, QueuedTrial


@dataclass(frozen=True, slots=True)
class AskedPoint:
    """A point that a sampler gave out."""

    stratum: str
    number: int
    params: Point


def publish_point(run: RunDir, point: AskedPoint) -> bool:
    """Give the point out; False if its number is taken. A damaged file gives its number back."""
    path = run.points / f"{point.stratum}.{point.number}.json"
    published = publish.publish_new(path, publish.to_json_bytes(asdict(point)))
    failpoint("point-published")
    if not published:
        try:
            read_record(path, AskedPoint)
        except FileNotFoundError:
            pass  # sealed meanwhile
        except DamagedFile:
            set_aside(run, path)
    return published


def asked_points(run: RunDir) -> Mapping[str, Sequence[AskedPoint]]:
    """Stratum → its points in order, from point files and, once those are sealed, from outcomes.

    Outcomes win: a slow worker may give out a number once more whose file has gone by then.
    """
    found: dict[tuple[str, int], AskedPoint] = {}
    # Files are read before outcomes: a file goes only when its trials are sealed.
    for name in publish.names(run.points):
        instead = "another point is asked in its place"
        asked = read_if_whole(run.points / name, AskedPoint, instead=instead)
        if asked is not None:
            found[asked.stratum, asked.number] = asked
    for row in load_table(run, "outcomes", ["stratum", "point", "params"]).to_pylist():
        point = AskedPoint(row["stratum"], row["point"], json.loads(row["params"]))
        found[point.stratum, point.number] = point
    by_stratum: dict[str, list[AskedPoint]] = {}
    for key in sorted(found):
        by_stratum.setdefault(key[0], []).append(found[key])
    return by_stratum


def queue_of(plan: Plan, points: Mapping[str, Sequence[AskedPoint]]) -> list[QueuedTrial]:
    """All trials of the points asked so far."""
    return [
        queued
        for name in plan.strata
        for point in points.get(name, ())
        for queued in plan.queue_point(name, point.number, point.params)
    ]


def known_queue(run: RunDir, plan: Plan) -> Sequence[QueuedTrial]:
    """Every trial that is known now: planned ones, or those asked so far."""
    return queue_of(plan, asked_points(run)) if plan.is_adaptive else plan.queue


def drop_sealed_points(run: RunDir, plan: Plan, sealed: set[str]) -> None:
    """Remove the files of points whose trials are all sealed: their rows hold the parameters."""
    for points in asked_points(run).values():
        for point in points:
            trials = plan.queue_point(point.stratum, point.number, point.params)
            if all(queued.trial_id in sealed for queued in trials):
                (run.points / f"{point.stratum}.{point.number}.json").unlink(missing_ok=True)
