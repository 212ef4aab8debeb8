"""Which learning rates keep up with the small-batch baseline, not only with their own plateau.

``{LR: f(LR) >= T - delta}`` for the baseline's plateau T (PROTOCOL.md 12). Its edges are those at
the depth ``A - T + delta`` below the batch's own plateau A; the errors of A and T move that depth,
and what this does to an edge is added to the edge's own error in squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.answers import Answer, Interval, Kind
from lars_sweep.fit.blocks import without_blocks
from lars_sweep.fit.cells import cells
from lars_sweep.fit.edge_answers import edge_answer, inner_outer
from lars_sweep.fit.edges import Edges, find_edges
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.lr_design import design_of, resolution
from lars_sweep.fit.lr_interval import LrInterval
from lars_sweep.fit.rows import Rows
from lars_sweep.nouns import with_noun

_NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineInterval:
    """LRs of one batch that stay within delta of the baseline batch's plateau."""

    batch: int
    """The baseline's."""
    plateau: float
    """T, percent."""
    lost: Answer
    """T minus the batch's own plateau, points; positive where the batch is worse."""
    low: Answer
    """`cannot`: no LR of this batch keeps up, at 97.5 %; `not_identified`: perhaps none does, and
    its interval is where such LRs would lie."""
    high: Answer
    inner: Interval | None
    """LRs that keep up, 97.5 % sure at each end; None: no such LR."""
    outer: Interval
    """LRs that cannot be excluded."""


def against_baseline(
    rows: Rows,
    own: LrInterval,
    baseline: LrInterval,
    *,
    lr: str = "base_lr",
    metric: str = "accuracy",
    paired: bool = False,
) -> BaselineInterval | Answer:
    """The interval of one batch relative to another's plateau.

    Args:
        rows: those of which ``own`` was made.
        own: the batch's interval relative to its own plateau.
        baseline: the interval of the batch that it is compared with.
        lr: column of learning rates, as for ``own``.
        metric: accuracy, as for ``own``.
        paired: as for ``own``. The two plateaus still count as independent, which is too wide where
            a seed's luck is the same at both batches.

    Returns:
        The interval, or the reason why a plateau is missing.
    """
    height, level = own.plateau.value, baseline.plateau.value
    if height is None or level is None:
        return own.plateau if height is None else baseline.plateau
    if own is baseline:
        return _itself(own, level)
    se = _se(own.plateau), _se(baseline.plateau)
    error = None if se[0] is None or se[1] is None else float(np.hypot(se[0], se[1]))
    lost = _lost(level - height, error, own.plateau.reason or baseline.plateau.reason)
    if paired:
        rows = without_blocks(rows, (lr,), metric).rows
    low, high = _edges(rows, own, level, error, lr=lr, metric=metric)
    inner, outer = inner_outer(low, high)
    return BaselineInterval(
        batch=baseline.global_batch,
        plateau=level,
        lost=lost,
        low=low,
        high=high,
        inner=inner,
        outer=outer,
    )


def _itself(own: LrInterval, level: float) -> BaselineInterval:
    return BaselineInterval(
        batch=own.global_batch,
        plateau=level,
        lost=Answer(kind=Kind.BOUNDED, value=0.0, interval=Interval(low=0.0, high=0.0), unit="%"),
        low=own.low,
        high=own.high,
        inner=own.inner,
        outer=own.outer,
    )


def _se(plateau: Answer) -> float | None:
    """Standard error behind a plateau's 95 % interval."""
    return None if plateau.interval is None else plateau.interval.width / (2 * _NORMAL_95)


def _lost(value: float, error: float | None, reason: str) -> Answer:
    if error is None:
        return Answer(kind=Kind.NO_SIGMA, value=value, unit="points", reason=reason)
    half = _NORMAL_95 * error
    interval = Interval(low=value - half, high=value + half)
    return Answer(kind=Kind.BOUNDED, value=value, interval=interval, unit="points")


def _edges(
    rows: Rows, own: LrInterval, level: float, error: float | None, *, lr: str, metric: str
) -> tuple[Answer, Answer]:
    """Lower and upper edge."""
    height = own.plateau.value
    assert height is not None
    depth, slack = height - level + own.delta, _NORMAL_95 * (error or 0.0)
    lost = with_noun(f"{level - height:.2g}", "point")
    behind = f"the plateau lies {lost} below the baseline's"
    if depth + slack <= 0:
        none = Answer(kind=Kind.CANNOT, reason=f"{behind}: no LR keeps up")
        return none, none
    table = cells(rows, (lr,), metric)
    tested = design_of(table.where(table.ok + table.diverged > 0), lr)
    known = error is not None
    sigma = own.sigma if own.sigma_source == "user" else None if known else own.delta / 2

    def at(some: float) -> Edges:
        return find_edges(tested, some, sigma=sigma, step=resolution(tested))

    deepest = at(depth + slack)
    if depth <= 0:
        ends = Interval(low=_lr(deepest.low_limits[0, 0]), high=_lr(deepest.high_limits[0, 1]))
        perhaps = Answer(
            kind=Kind.NOT_IDENTIFIED, interval=ends, reason=f"{behind}: perhaps no LR keeps up"
        )
        return perhaps, perhaps
    middle = at(depth)
    shallowest = at(depth - slack) if depth > slack else None
    low = _widened(*(_lower(edges) for edges in (middle, deepest, shallowest)))
    high = -_widened(*(_upper_mirrored(edges) for edges in (middle, deepest, shallowest)))[::-1]
    source = own.sigma_source
    return (
        edge_answer(middle.low[0], low, known, source, upper=False),
        edge_answer(middle.high[0], high, known, source, upper=True),
    )


def _lr(position: float) -> float | None:
    return float(np.exp2(position)) if np.isfinite(position) else None


def _lower(edges: Edges | None) -> FloatArray | None:
    """Lower edge and its limits (3,), log2 LR."""
    return None if edges is None else np.append(edges.low, edges.low_limits[0])


def _upper_mirrored(edges: Edges | None) -> FloatArray | None:
    """The upper edge as the lower one of the mirrored axis (3,)."""
    return None if edges is None else -np.append(edges.high, edges.high_limits[0, ::-1])


def _widened(
    middle: FloatArray | None, deepest: FloatArray | None, shallowest: FloatArray | None
) -> FloatArray:
    """Limits (2,) of a lower edge with the error of its depth added.

    Args:
        middle: edge and limits at the estimated depth.
        deepest: the same at the largest depth, farther out.
        shallowest: the same at the smallest depth, None where no LR is that good.
    """
    assert middle is not None
    assert deepest is not None
    edge, limits = middle[0], middle[1:]
    if not np.isfinite(edge):
        return np.array([-np.inf, np.inf if shallowest is None else max(limits[1], shallowest[2])])
    with np.errstate(invalid="ignore"):
        out = np.hypot(edge - limits[0], edge - deepest[0])
        back = np.inf
        if shallowest is not None:
            back = np.hypot(limits[1] - edge, shallowest[0] - edge)
    out, back = (distance if np.isfinite(distance) else np.inf for distance in (out, back))
    return np.array([edge - out, edge + back])
