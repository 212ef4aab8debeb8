"""Asking an Optuna sampler for the next point of an adaptive stratum."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.axes import Choices
from lars_sweep.spec.strata import Point, Stratum
from lars_sweep.study.asked import AskedPoint, asked_points, publish_point, queue_of
from lars_sweep.study.plan import Plan
from lars_sweep.study.points import stream_seed
from lars_sweep.study.rebuild import distributions, rebuild_study
from lars_sweep.study.strategy import make_sampler


def ask(run: RunDir, plan: Plan) -> bool:
    """Give out one more point, in the stratum that has the fewest; False if all are given out.

    Another worker may publish the same number first; then that worker's point is the new one.
    """
    points = asked_points(run)
    given = {name: len(points.get(name, ())) for name in plan.strata}
    open_strata = [name for name in plan.strata if given[name] < plan.points_per_stratum]
    if not open_strata:
        return False
    name = min(open_strata, key=lambda candidate: given[candidate])
    point = _next_point(run, plan, plan.strata[name], points.get(name, ()))
    publish_point(run, point)
    return True


def _next_point(
    run: RunDir, plan: Plan, stratum: Stratum, points: Sequence[AskedPoint]
) -> AskedPoint:
    number = 1 + max((point.number for point in points), default=-1)
    study = rebuild_study(
        run,
        plan,
        stratum,
        queue_of(plan, {stratum.name: points}),
        # The random stream is this point's own.
        sampler=make_sampler(plan.spec, stream_seed(plan.spec.strategy.seed, stratum.name, number)),
    )
    trial = study.ask(distributions(stratum.dimensions))
    return AskedPoint(stratum.name, number, _from_optuna(stratum, trial.params))


def _from_optuna(stratum: Stratum, params: Mapping[str, object]) -> Point:
    """Back from Optuna's plain categories to the sweep file's values."""
    point = dict(params)
    for dimension in stratum.dimensions:
        if isinstance(dimension, Choices) and point[dimension.name] not in dimension.values:
            point[dimension.name] = json.loads(str(point[dimension.name]))
    return point
