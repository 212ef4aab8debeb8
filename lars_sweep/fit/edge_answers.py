"""Edges of the good LRs as answers, and what two of them leave surely good."""

from __future__ import annotations

import numpy as np

from lars_sweep.fit.answers import Answer, Interval, Kind
from lars_sweep.fit.linear import FloatArray


def edge_answer(
    edge: float, limits: FloatArray, known: bool, source: str, *, upper: bool
) -> Answer:
    """One edge as an LR, from its position and limits (2,) in log2 LR.

    Args:
        edge: infinite where accuracy has not fallen at the end of the grid.
        limits: infinite where there is none.
        known: whether sigma is.
        source: where it comes from, or why it is unknown.
        upper: the upper edge.
    """
    value = float(np.exp2(edge)) if np.isfinite(edge) else None
    ends = [float(np.exp2(limit)) if np.isfinite(limit) else None for limit in limits]
    interval = Interval(low=ends[0], high=ends[1]) if known else None
    if value is None:
        side = "above" if upper else "below"
        kind = Kind.CENSORED_HIGH if upper else Kind.CENSORED_LOW
        reason = f"accuracy has not fallen by delta at the end of the grid; the edge lies {side} it"
        return Answer(kind=kind, interval=interval, reason=reason)
    if interval is None:
        return Answer(kind=Kind.NO_SIGMA, value=value, reason=source)
    if interval.low is not None and interval.high is not None:
        return Answer(kind=Kind.BOUNDED, value=value, interval=interval)
    if upper and interval.low is not None:
        reason = "an edge beyond the largest LR tried is not excluded"
        return Answer(kind=Kind.AT_LEAST, value=value, interval=interval, reason=reason)
    reason = "an edge beyond the grid is not excluded"
    return Answer(kind=Kind.UNBOUNDED, value=value, interval=interval, reason=reason)


def inner_outer(low: Answer, high: Answer) -> tuple[Interval | None, Interval]:
    """LRs that are surely good, and LRs that may be."""
    outer = Interval(
        low=None if low.interval is None else low.interval.low,
        high=None if high.interval is None else high.interval.high,
    )
    start = None if low.interval is None else low.interval.high
    end = None if high.interval is None else high.interval.low
    if start is None or end is None or start > end:
        return None, outer
    return Interval(low=start, high=end), outer
