"""Where bigger batches stop paying: steps to a target against the batch.

``S = Smin (1 + (B_half/B)**alpha)``: at B_half the steps are twice the small-batch law
``Smin (B_half/B)**alpha``, whatever alpha is. B_half is the headline because McCandlish's Bc
assumes alpha = 1: testing that and then assuming it covers 0-36 % for exponents .8-.9 and 1.1
(PROTOCOL.md 14).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from lars_sweep.fit.answers import Answer, Interval, Kind, not_identified
from lars_sweep.fit.distributions import chi2_quantile, student_quantile
from lars_sweep.fit.engine import Noise
from lars_sweep.fit.fieller import fieller
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.log_forms import LogSteps
from lars_sweep.fit.tuned import Tuned
from lars_sweep.nouns import count

Regime = Literal["perfect", "diminishing", "maximal", "undetermined"]

MINIMUM_BATCHES = 4
OVERHEAD = 0.2
_ZOOMS = 4
# Error of log steps of a batch that did not reach the target: the usual one of those that did.
_CENSORED_SE = 0.1
_POINTS = 41
_EXPONENT_MARGIN = 0.05
_LIMIT = chi2_quantile(0.95, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsToTarget:
    """Steps that each batch needs for one target accuracy, (n,) each."""

    batch: FloatArray
    steps: FloatArray
    """Where ``censored``: the largest number of steps tried without reaching the target."""
    log_se: FloatArray
    """Standard errors of log steps."""
    censored: npt.NDArray[np.bool_]
    """True where the target was not reached."""


def steps_to_target(
    table: Tuned, noise: Noise, target: float, target_se: float = 0.0
) -> StepsToTarget:
    """Steps each batch needs for a target, from full schedules of several lengths.

    Every (batch, epochs) is a run of its own to the end of its schedule: with a decaying LR the
    first crossing inside a longer run is not the steps to target. Between the two lengths around
    the target, log S is interpolated linearly in accuracy, the seeds' noise divided by the slope is
    its error. A batch whose longest run stays below, at 95 % confidence, is censored there: one
    that misses the target by its noise alone may have reached it, which says nothing of its steps.
    It is left out, as is one whose shortest run is already above.

    Args:
        table: accuracy at tuned LRs.
        noise: variance of one seed.
        target: accuracy, percent.
        target_se: its standard error where it is an estimate itself.
    """
    quantile = student_quantile(0.95, noise.nu)
    found = []
    for batch in np.unique(table.batch):
        at = np.flatnonzero(table.batch == batch)
        at = at[np.argsort(table.steps[at])]
        log_s, accuracy, weight = np.log(table.steps[at]), table.accuracy[at], table.weight[at]
        above = np.flatnonzero(accuracy >= target)
        if len(above) and above[0] == 0:
            continue
        if not len(above):
            error = np.hypot(np.sqrt(noise.variance / weight[-1]), target_se)
            if accuracy[-1] + quantile * error < target:
                found.append((batch, np.exp(log_s[-1]), _CENSORED_SE, 1.0))
            continue
        low, high = above[0] - 1, above[0]
        slope = (accuracy[high] - accuracy[low]) / (log_s[high] - log_s[low])
        share = (target - accuracy[low]) / (accuracy[high] - accuracy[low])
        position = log_s[low] + share * (log_s[high] - log_s[low])
        variance = noise.variance * ((1 - share) ** 2 / weight[low] + share**2 / weight[high])
        found.append((batch, np.exp(position), np.sqrt(variance) / slope, 0.0))
    columns = np.array(found, dtype=np.float64).reshape(len(found), 4).T
    return StepsToTarget(
        batch=columns[0], steps=columns[1], log_se=columns[2], censored=columns[3] > 0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRegime:
    """Slope d log S / d log B between two neighbouring batches, and what it amounts to."""

    low_batch: float
    high_batch: float
    slope: float
    interval: Interval
    regime: Regime


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalBatch:
    """Fit of ``S = Smin (1 + (B_half/B)**alpha)`` with right-censored runs."""

    points: StepsToTarget
    half: Answer
    """B_half, the headline."""
    alpha: Answer
    mccandlish: Answer
    """Bc with alpha = 1, printed only where alpha is equivalent to 1 within 0.05."""
    overhead: Answer
    """Batch at which steps times batch is 20 % above the smallest batch's."""
    regimes: tuple[LocalRegime, ...]


def fit_critical_batch(points: StepsToTarget) -> CriticalBatch | Answer:
    """Fit the critical batch.

    Args:
        points: steps to one target per batch. A batch that never reached it is right-censored at
            the steps it was given: its likelihood is that of needing more.

    Returns:
        The fit, or `not_identified` with the reason.
    """
    reached = int(np.sum(~points.censored))
    if reached < MINIMUM_BATCHES:
        return not_identified(
            f"the target lies between the accuracies of two lengths at {count(reached, 'batch')}, "
            f"{MINIMUM_BATCHES} needed",
            "samples",
        )
    surface = _Surface.of(points)
    half = _half(surface)
    alpha = _alpha(surface)
    unit_slope = surface.fix_alpha(0.0)
    equal = alpha.interval is not None and _inside(alpha.interval, 1.0, _EXPONENT_MARGIN)
    mccandlish = (
        _half(unit_slope)
        if equal
        else not_identified("alpha is not shown to be 1 ± 0.05", "samples")
    )
    return CriticalBatch(
        points=points,
        half=half,
        alpha=alpha,
        mccandlish=mccandlish,
        overhead=_overhead(surface),
        regimes=_regimes(points),
    )


def _inside(interval: Interval, centre: float, margin: float) -> bool:
    if interval.low is None or interval.high is None:
        return False
    return abs(interval.low - centre) <= margin and abs(interval.high - centre) <= margin


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surface:
    """Deviance over a grid of (log B_half, log alpha), Smin profiled out at every point."""

    points: StepsToTarget
    halves: FloatArray
    exponents: FloatArray
    deviance: FloatArray

    @classmethod
    def of(cls, points: StepsToTarget, exponents: FloatArray | None = None) -> _Surface:
        """Zoom the grid onto the region that is not excluded; exponents (1,) fixes alpha."""
        axes = LogSteps().grid(points.batch[:, None])
        if exponents is not None:
            axes[1] = exponents
        best = np.inf
        for _ in range(_ZOOMS):
            grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
            flat = censored_deviance(points, grid.reshape(-1, 2))
            best = min(best, float(flat.min()))
            deviance = flat.reshape(grid.shape[:2]) - best
            surface = cls(points=points, halves=axes[0], exponents=axes[1], deviance=deviance)
            near = deviance <= max(4.0 * _LIMIT, float(deviance.min()))
            axes = [_zoomed(axes[i], np.asarray(near.any(axis=1 - i))) for i in range(2)]
        return surface

    def fix_alpha(self, log_alpha: float) -> _Surface:
        """The same with one exponent."""
        return _Surface.of(self.points, np.array([log_alpha]))


def _zoomed(axis: FloatArray, near: npt.NDArray[np.bool_]) -> FloatArray:
    """An even axis over the marked positions and one more on either side."""
    if len(axis) == 1:
        return axis
    marked = np.flatnonzero(near)
    first, last = max(marked[0] - 1, 0), min(marked[-1] + 1, len(axis) - 1)
    return np.linspace(axis[first], axis[last], _POINTS)


def censored_deviance(points: StepsToTarget, theta: FloatArray) -> FloatArray:
    """Twice the negative log likelihood, Smin profiled out, at shapes (..., 2)."""
    offset = np.asarray(LogSteps().offset(theta, points.batch[:, None]))
    rest = np.log(points.steps) - offset
    reached = ~points.censored
    weight = np.where(reached, 1.0 / points.log_se**2, 0.0)
    level = np.sum(weight * rest, axis=-1) / np.sum(weight)
    if reached.all():
        return np.asarray(np.sum(weight * (rest - level[..., None]) ** 2, axis=-1))
    for _ in range(25):
        level = level - _newton_step(rest, level, points.log_se, reached)
    z = (rest - level[..., None]) / points.log_se
    terms = np.where(reached, z**2, -2.0 * special.log_ndtr(-z))
    return np.asarray(np.sum(terms, axis=-1))


def _newton_step(
    rest: FloatArray, level: FloatArray, se: FloatArray, reached: npt.NDArray[np.bool_]
) -> FloatArray:
    """Step of log Smin: the likelihood is concave in it, so plain Newton converges."""
    z = (rest - level[..., None]) / se
    # Censored at z: probability of more is Phi(-z); its hazard and the hazard's slope.
    hazard = np.exp(-0.5 * z**2 - special.log_ndtr(-z)) / np.sqrt(2.0 * np.pi)
    gradient = np.where(reached, z, hazard) / se
    curvature = np.where(reached, 1.0, hazard * (hazard - z)) / se**2
    return np.asarray(-np.sum(gradient, axis=-1) / np.sum(curvature, axis=-1))


def _half(surface: _Surface) -> Answer:
    profile = surface.deviance.min(axis=1)
    low, high, best = _ends(surface.halves, profile)
    interval = Interval(low=low, high=high).map(np.exp)
    tested = surface.points.batch
    value = float(np.exp(best))
    if high is None and low is None:
        return not_identified("no batch is excluded: steps do not bend", "samples")
    if high is None:
        kind, reason = Kind.AT_LEAST, "steps still fall at the largest batch"
        if value > tested.max():
            kind = Kind.CENSORED_HIGH
        return Answer(kind=kind, value=value, interval=interval, unit="samples", reason=reason)
    if low is None:
        reason = "steps no longer fall at the smallest batch"
        kind = Kind.CENSORED_LOW
        return Answer(kind=kind, value=value, interval=interval, unit="samples", reason=reason)
    return Answer(kind=Kind.BOUNDED, value=value, interval=interval, unit="samples")


def _alpha(surface: _Surface) -> Answer:
    profile = surface.deviance.min(axis=0)
    low, high, best = _ends(surface.exponents, profile)
    interval = Interval(low=low, high=high).map(np.exp)
    kind = Kind.BOUNDED if low is not None and high is not None else Kind.UNBOUNDED
    return Answer(kind=kind, value=float(np.exp(best)), interval=interval)


def _ends(axis: FloatArray, profile: FloatArray) -> tuple[float | None, float | None, float]:
    """Outermost crossings of the 95 % limit, interpolated, and the minimum."""
    inside = np.flatnonzero(profile <= _LIMIT)
    best = int(np.argmin(profile))
    first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (best, best)

    def cross(inner: int, outer: int) -> float:
        share = (_LIMIT - profile[inner]) / (profile[outer] - profile[inner])
        return float(axis[inner] + share * (axis[outer] - axis[inner]))

    low = None if first == 0 else cross(first, first - 1)
    high = None if last == len(axis) - 1 else cross(last, last + 1)
    return low, high, float(axis[best])


def _overhead(surface: _Surface) -> Answer:
    """Batch at which S B is 20 % above its value at the smallest batch tested, by the fit."""
    smallest = float(surface.points.batch.min())
    half, log_alpha = np.meshgrid(surface.halves, surface.exponents, indexing="ij")
    deviance = surface.deviance - surface.deviance.min()
    allowed = deviance <= _LIMIT
    half, alpha = half[allowed], np.exp(log_alpha[allowed])
    grid = np.log(smallest) + np.arange(0.0, 12.0, 1 / 32)[:, None]
    cost = np.logaddexp(0.0, alpha * (half - grid)) + grid
    above = cost - cost[:1] >= np.log1p(OVERHEAD)
    position = np.where(above.any(axis=0), grid[np.argmax(above, axis=0), 0], np.inf)
    best = float(position[np.argmin(deviance[allowed])])
    low, high = float(position.min()), float(position.max())
    interval = Interval(
        low=float(np.exp(low)) if np.isfinite(low) else None,
        high=float(np.exp(high)) if np.isfinite(high) else None,
    )
    if not np.isfinite(best):
        return Answer(kind=Kind.CENSORED_HIGH, interval=interval, unit="samples")
    kind = Kind.BOUNDED if interval.high is not None else Kind.AT_LEAST
    return Answer(kind=kind, value=float(np.exp(best)), interval=interval, unit="samples")


def _regimes(points: StepsToTarget) -> tuple[LocalRegime, ...]:
    """Local slopes with 95 % intervals: below -0.9 perfect, above -0.1 maximal scaling."""
    order = np.argsort(points.batch)
    order = order[~points.censored[order]]
    found = []
    for i, j in pairwise(order):
        octaves = np.log(points.batch[j] / points.batch[i])
        slope = float(np.log(points.steps[j] / points.steps[i]) / octaves)
        half = 1.959964 * float(np.hypot(points.log_se[i], points.log_se[j]) / octaves)
        interval = Interval(low=slope - half, high=slope + half)
        regime: Regime = "undetermined"
        if slope + half < -0.9:
            regime = "perfect"
        elif slope - half > -0.1:
            regime = "maximal"
        elif slope - half > -0.9 and slope + half < -0.1:
            regime = "diminishing"
        found.append(
            LocalRegime(
                low_batch=float(points.batch[i]),
                high_batch=float(points.batch[j]),
                slope=slope,
                interval=interval,
                regime=regime,
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class WallClock:
    """Hours to the target at one batch on one number of devices, from measured step times."""

    batch: float
    devices: int
    step_s: float
    hours: float
    low: float
    high: float
    """95 % limits, those of the steps times those of the step time."""


def wall_clock(
    points: StepsToTarget, step_s: Mapping[tuple[float, int], tuple[float, float]]
) -> tuple[WallClock, ...]:
    """Time to target, ``S(B) t(B, devices)``: steps alone never say what pays.

    Args:
        points: steps to the target per batch.
        step_s: seconds per step and its standard error, by (batch, devices).

    Returns:
        One entry per measured (batch, devices) whose batch reached the target, fastest first.
    """
    found = []
    for (batch, devices), (seconds, error) in step_s.items():
        index = np.flatnonzero((points.batch == batch) & ~points.censored)
        if not len(index):
            continue
        hours = float(points.steps[index[0]]) * seconds / 3600.0
        spread = 1.959964 * float(np.hypot(points.log_se[index[0]], error / seconds))
        found.append(
            WallClock(
                batch=batch,
                devices=devices,
                step_s=seconds,
                hours=hours,
                low=hours * float(np.exp(-spread)),
                high=hours * float(np.exp(spread)),
            )
        )
    return tuple(sorted(found, key=lambda entry: entry.hours))


def speed_up(one: WallClock, other: WallClock) -> Answer:
    """How many times faster ``one`` is than ``other``, by Fieller's theorem."""
    errors = [(entry.high - entry.low) / (2 * 1.959964) for entry in (one, other)]
    interval = fieller(other.hours, one.hours, errors[1] ** 2, errors[0] ** 2)
    kind = Kind.BOUNDED if interval.high is not None else Kind.AT_LEAST
    return Answer(kind=kind, value=other.hours / one.hours, interval=interval)
