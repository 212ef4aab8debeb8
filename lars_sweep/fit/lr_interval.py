"""Which learning rates are good at one batch: the interval, and what to add to know it better."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.answers import Answer, Interval, Kind, not_identified, p_text
from lars_sweep.fit.blocks import without_blocks
from lars_sweep.fit.cells import Cells, cells
from lars_sweep.fit.distributions import chi2_tail
from lars_sweep.fit.edge_answers import edge_answer, inner_outer
from lars_sweep.fit.edges import Design, Edges, cell_weights, find_edges
from lars_sweep.fit.fieller import fieller
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.lr_design import MINIMUM_LRS, design_of, resolution
from lars_sweep.fit.lr_verdicts import LrVerdict, lr_verdicts, without_out
from lars_sweep.fit.rows import Rows, refuse_mixed
from lars_sweep.fit.sigma import MINIMUM_NU, ROUNDING, Spread, spread
from lars_sweep.fit.top_curve import TopCurve, top_curve
from lars_sweep.nouns import count

_NORMAL_95 = 1.959964


@dataclass(frozen=True, slots=True, kw_only=True)
class LrInterval:
    """``{LR: f(LR) >= A - delta}`` of a flat-topped curve f with plateau A in log2 LR."""

    global_batch: int
    epochs: float
    delta: float
    """Points below the plateau that still count as good."""
    sigma: float | None
    """Standard deviation of one seed, percent."""
    sigma_source: str
    sigma_nu: float | None
    sigma_note: str
    """How replicate seeds contradict a stated sigma, else empty."""
    plateau: Answer
    """A, the accuracy of a good LR: not the best cell, which is biased upwards."""
    low: Answer
    high: Answer
    inner: Interval | None
    """LRs that are good, 97.5 % sure at each end, and none whose verdict is out; None: no such LR.
    """
    outer: Interval
    """LRs that cannot be excluded."""
    verdicts: tuple[LrVerdict, ...]
    add: tuple[float, ...]
    """LRs to add because the best one lies at an end of the grid or an edge was not bracketed."""
    sensitivity: float | None
    """Mean of best minus mean accuracy over the LRs tried, points (after Wortsman et al. 2023)."""
    curve: TopCurve | None
    """The flat top at the plateau's height, None where no curve was fitted."""

    @property
    def strays(self) -> tuple[float, ...]:
        """LRs that are in though they lie outside the edges: too coarse a grid for the curve."""
        low, high = self.low.value or 0.0, self.high.value or np.inf
        return tuple(v.lr for v in self.verdicts if v.verdict == "in" and not low <= v.lr <= high)

    def scaled(self, factor: float) -> LrInterval:
        """The same in other units of LR, as ``gamma * eta`` for factor eta."""

        def times(value: Interval) -> Interval:
            return value.map(lambda lr: lr * factor)

        def answer(value: Answer) -> Answer:
            return value.map(lambda lr: lr * factor, value.unit)

        return dataclasses.replace(
            self,
            low=answer(self.low),
            high=answer(self.high),
            inner=None if self.inner is None else times(self.inner),
            outer=times(self.outer),
            verdicts=tuple(dataclasses.replace(v, lr=v.lr * factor) for v in self.verdicts),
            add=tuple(lr * factor for lr in self.add),
            curve=None if self.curve is None else self.curve.scaled(factor),
        )


def lr_intervals(
    rows: Rows,
    delta: float,
    *,
    lr: str = "base_lr",
    metric: str = "accuracy",
    sigma: float | None = None,
    pool: Collection[str] = (),
    paired: bool = False,
) -> tuple[LrInterval, ...]:
    """The good-LR interval of every (global batch, epochs).

    Args:
        rows: outcomes of one model and one optimizer.
        delta: tolerated loss against the plateau, points of accuracy.
        lr: the column of learning rates: base_lr, lr_peak or an effective LR.
        metric: the accuracy that decides.
        sigma: standard deviation of one seed, where there are no replicate seeds to say.
        pool: conditions declared to have no effect.
        paired: whether a seed had the same random numbers at every LR (``seeds.paired``), to be
            analyzed by blocks (PROTOCOL.md 17).

    Raises:
        OutcomeError: a column is missing, or rows differ in what is not modelled.
    """
    refuse_mixed(rows, ("global_batch", "epochs"), pool)
    return tuple(
        lr_interval(
            group,
            delta,
            batch=int(batch),
            epochs=float(epochs),
            lr=lr,
            metric=metric,
            sigma=sigma,
            paired=paired,
        )
        for (batch, epochs), group in rows.groups(("global_batch", "epochs"))
    )


def lr_interval(
    rows: Rows,
    delta: float,
    *,
    batch: int,
    epochs: float,
    lr: str = "base_lr",
    metric: str = "accuracy",
    sigma: float | None = None,
    paired: bool = False,
) -> LrInterval:
    """The good-LR interval of rows of one cell of conditions; arguments as `lr_intervals`."""
    height_se = 0.0
    if paired:
        blocked = without_blocks(rows, (lr,), metric)
        rows, height_se = blocked.rows, blocked.height_se
    table = cells(rows, (lr,), metric)
    design = design_of(table, lr)
    finished = np.flatnonzero(table.ok > 0)
    highest = float(np.max(table.mean[finished], initial=-np.inf))
    noise = spread(design.samples, sigma, delta)
    variance = sigma**2 if sigma is not None else float(noise.pooled[0])
    nu = float(noise.nu[0])
    known = nu >= MINIMUM_NU and variance > ROUNDING
    source = "user" if sigma is not None else "replicates" if known else _why_no_sigma(nu)
    edges, curve = None, None
    if len(finished) >= MINIMUM_LRS:
        tested = design_of(table.where(table.ok + table.diverged > 0), lr)
        assumed = sigma if known else delta / 2
        edges = find_edges(tested, delta, sigma=assumed, step=resolution(tested))
        height = float(edges.plateau[0])
        curve = _curve(tested, delta, assumed, height if known else min(height, highest))
    low, high, plateau = _answers(edges, table.mean[finished], known, source, height_se)
    inner, outer = inner_outer(low, high)
    verdicts = lr_verdicts(table, delta, noise.variance[0] if known else None, nu)
    return LrInterval(
        global_batch=batch,
        epochs=epochs,
        delta=delta,
        sigma=float(np.sqrt(variance)) if known else None,
        sigma_source=source,
        sigma_nu=nu if known and np.isfinite(nu) else None,
        sigma_note=_contradiction(sigma, spread(design.samples, None, delta)),
        plateau=plateau,
        low=low,
        high=high,
        inner=without_out(inner, verdicts),
        outer=outer,
        verdicts=verdicts,
        add=_lrs_to_add(design.x, table, low, high),
        sensitivity=_sensitivity(table.mean[finished]),
        curve=curve,
    )


def _curve(tested: Design, delta: float, sigma: float | None, height: float) -> TopCurve:
    """The flat top, its cells weighed as `find_edges` weighs them."""
    weights = cell_weights(tested, spread(tested.samples, sigma, delta), delta)[0]
    y = np.where(weights > 0, tested.mean[0], 0.0)
    return top_curve(tested.x, y, weights, height, resolution(tested))


def _why_no_sigma(nu: float) -> str:
    if nu >= MINIMUM_NU:
        return "all seeds of each LR have the same accuracy: no noise to estimate"
    return f"{count(nu, 'spare seed')}, {MINIMUM_NU} needed; add seeds or state sigma"


def _answers(
    edges: Edges | None, means: FloatArray, known: bool, source: str, height_se: float
) -> tuple[Answer, Answer, Answer]:
    """Lower edge, upper edge (as LRs) and plateau (percent), from the means of the finished LRs."""
    if edges is None:
        lrs = count(len(means), "LR")
        none = not_identified(f"{lrs} finished, {MINIMUM_LRS} needed for a curve")
        return none, none, none
    low = edge_answer(edges.low[0], edges.low_limits[0], known, source, upper=False)
    high = edge_answer(edges.high[0], edges.high_limits[0], known, source, upper=True)
    if low.value is not None and high.value is not None and low.value > high.value:
        low = high = not_identified("the edges cross: delta is too small for these LRs and seeds")
    half = _NORMAL_95 * float(np.hypot(edges.plateau_se[0], height_se))
    height = float(edges.plateau[0])
    if not known:  # a curve may peak between the LRs, but nothing then says how much of it is noise
        height = min(height, float(means.max()))
    interval = Interval(low=height - half, high=height + half) if known else None
    kind = Kind.BOUNDED if known else Kind.NO_SIGMA
    plateau = Answer(
        kind=kind, value=height, interval=interval, unit="%", reason=_reason(known, source)
    )
    return low, high, plateau


def _reason(known: bool, source: str) -> str:
    return "" if known else source


def _contradiction(sigma: float | None, seeds: Spread) -> str:
    """What replicate seeds say against a stated sigma (chi² test of their variance, at 1 %)."""
    nu, variance = float(seeds.nu[0]), float(seeds.pooled[0])
    if sigma is None or nu < MINIMUM_NU or variance <= ROUNDING:
        return ""
    ratio = nu * variance / sigma**2
    above = chi2_tail(ratio, nu)
    p = 2.0 * min(above, 1.0 - above)
    if p >= 0.01:
        return ""
    found = f"{float(np.sqrt(variance)):.2g}, {nu:.0f} degrees of freedom"
    return f"sigma is stated as {sigma:g}, the seeds' is {found} ({p_text(p)})"


def _lrs_to_add(x: FloatArray, table: Cells, low: Answer, high: Answer) -> tuple[float, ...]:
    """Two half-octave steps past each end of the grid that does not bracket its edge."""
    finished = np.flatnonzero(table.ok > 0)
    if not len(finished):
        return tuple(float(2.0 ** (x[0] - step)) for step in (1.0, 0.5)) if len(x) else ()
    best = int(np.nanargmax(table.mean))
    add = []
    if best == finished[0] or low.kind is Kind.CENSORED_LOW or _open(low, upper=False):
        add += [x[0] - 1.0, x[0] - 0.5]
    bracketed = bool(np.any(table.diverged[best:] > 0))
    if not bracketed and (best == finished[-1] or _open(high, upper=True)):
        add += [x[-1] + 0.5, x[-1] + 1.0]
    return tuple(float(2.0**position) for position in add)


def _open(answer: Answer, *, upper: bool) -> bool:
    if answer.interval is None:
        return answer.kind in (Kind.CENSORED_HIGH, Kind.CENSORED_LOW)
    return (answer.interval.high if upper else answer.interval.low) is None


def _sensitivity(means: FloatArray) -> float | None:
    return float(np.mean(np.max(means) - means)) if len(means) else None


def width_ratio(one: LrInterval, other: LrInterval) -> Answer:
    """Width of one interval over that of another, both in octaves; 95 % by Fieller's theorem.

    Both must bracket their optimum on both sides (PROTOCOL.md 11), else they are not comparable.
    """
    widths = []
    for interval in (one, other):
        ends = [interval.low, interval.high]
        if any(end.kind is not Kind.BOUNDED for end in ends):
            return not_identified("not comparable: a grid does not bracket its own optimum")
        position = [float(np.log2(end.value)) for end in ends if end.value is not None]
        half = [end.interval.map(np.log2).width / 2 for end in ends if end.interval is not None]
        widths.append((position[1] - position[0], sum((h / _NORMAL_95) ** 2 for h in half)))
    (top, top_variance), (bottom, bottom_variance) = widths
    interval_of_ratio = fieller(top, bottom, top_variance, bottom_variance)
    kind = Kind.BOUNDED if np.isfinite(interval_of_ratio.width) else Kind.UNBOUNDED
    return Answer(kind=kind, value=top / bottom, interval=interval_of_ratio)
