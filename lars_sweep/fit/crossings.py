"""Where an averaged confidence passes the limits of an interval: few evaluations, then exactly.

A confidence takes a profile of every form at each position, so it is not evaluated where it tells
nothing: far from its quantiles.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lars_sweep.fit.answers import Answer, Interval, Kind
from lars_sweep.fit.distributions import normal_quantile
from lars_sweep.fit.linear import FloatArray

MARKS = (0.025, 0.5, 0.975)
"""Confidences at the ends and in the middle of a 95 % interval."""
_STRIDE = 8

Confidence = Callable[[FloatArray], FloatArray]
"""Confidence (m,) at positions (m,), all but monotone."""


def sparsely(confidence: Confidence, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Those of the positions that decide where the confidence passes a mark, and it there.

    Every eighth position, and all between two of these on different sides of a mark; what goes up
    and down again between two of the former is not seen.
    """
    at = np.unique(np.append(np.arange(0, len(positions), _STRIDE), len(positions) - 1))
    values = confidence(positions[at])
    passing = np.repeat(_passes(values), np.diff(at))
    between = np.setdiff1d(np.flatnonzero(passing), at)
    if not len(between):
        return positions[at], values
    order = np.argsort(np.concatenate([at, between]))
    values = np.concatenate([values, confidence(positions[between])])[order]
    return positions[np.concatenate([at, between])[order]], values


def _passes(confidence: FloatArray) -> np.ndarray:
    """Whether a mark lies between neighbours (m - 1,)."""
    low = np.minimum(confidence[:-1], confidence[1:])
    high = np.maximum(confidence[:-1], confidence[1:])
    marks = np.array(MARKS)[:, None]
    return np.asarray(np.any((low <= marks) & (marks <= high), axis=0))


def scan(confidence: Confidence, positions: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Confidence (m,) at positions (m,), refined until it passes every mark in small steps.

    Between neighbours on two sides of a mark whose confidences differ by more than half a standard
    deviation, near the middle, eight positions are inserted in equal ratio, up to five times over.

    Args:
        confidence: non-decreasing function of positive positions.
        positions: where to look at first, ascending; the last may be infinite.
    """
    positions, values = sparsely(confidence, positions)
    for _ in range(5):
        z = np.clip(normal_quantile(np.clip(values, 1e-12, 1.0 - 1e-12)), -3.0, 3.0)
        steep = (np.abs(np.diff(z)) > 0.5) & _passes(values)
        coarse = np.flatnonzero(steep & np.isfinite(positions[1:]))
        if not len(coarse):
            break
        inserted = np.concatenate(
            [np.geomspace(positions[i], positions[i + 1], 10)[1:-1] for i in coarse]
        )
        order = np.argsort(np.concatenate([positions, inserted]))
        values = np.concatenate([values, confidence(inserted)])[order]
        positions = np.concatenate([positions, inserted])[order]
    return positions, values


def first_crossing(positions: FloatArray, confidence: FloatArray, at: float) -> float | None:
    """First position where a confidence that starts below ``at`` reaches it, if it does."""
    if confidence[0] >= at or not np.any(confidence >= at):
        return None
    return _between(positions, confidence, int(np.argmax(confidence >= at)), at)


def last_crossing(positions: FloatArray, confidence: FloatArray, at: float) -> float | None:
    """Last position where the confidence rises to ``at``; None if it stays below at the end."""
    if confidence[-1] < at or not np.any(confidence < at):
        return None
    return _between(positions, confidence, int(np.flatnonzero(confidence < at)[-1]) + 1, at)


def _between(positions: FloatArray, confidence: FloatArray, after: int, at: float) -> float | None:
    low, high = confidence[after - 1], confidence[after]
    # Confidence is close to a normal distribution function of the position.
    start, goal, end = normal_quantile(np.clip([low, at, high], 1e-12, 1.0 - 1e-12))
    share = (goal - start) / (end - start) if end > start else 1.0
    found = positions[after - 1] + share * (positions[after] - positions[after - 1])
    return float(found) if np.isfinite(found) else None


def target_answer(
    positions: FloatArray, confidence: FloatArray, tested: float, unit: str
) -> Answer:
    """What is known of the position where a rising curve reaches a target.

    Args:
        positions: (m,) ascending; the last is infinite, the limit of the curve.
        confidence: that the curve is above the target there (m,).
        tested: largest position with data.
        unit: of the positions.

    Returns:
        ``reached`` (interval inside the data), ``bounded``, ``at_least`` (reached, but beyond the
        search), ``censored_low`` (before it), ``never_compatible`` (the limit of the curve may lie
        below the target) or ``cannot`` (it does, at 97.5 % confidence).
    """
    if np.all(confidence >= 0.975):
        reason = f"reached before {positions[0]:.3g} {unit}, where the search begins"
        interval = Interval(low=None, high=float(positions[0]))
        return Answer(kind=Kind.CENSORED_LOW, interval=interval, unit=unit, reason=reason)
    low = first_crossing(positions, confidence, 0.025)
    value = first_crossing(positions, confidence, 0.5)
    ever = float(confidence[-1])
    if ever < 0.025:
        reason = "the upper 97.5 % limit of the curve's end lies below the target"
        return Answer(kind=Kind.CANNOT, unit=unit, reason=reason)
    high = last_crossing(positions, confidence, 0.975)
    interval = Interval(low=low, high=high)
    if ever < 0.975:
        reason = "a curve that ends below the target is not excluded at 97.5 %"
        return Answer(
            kind=Kind.NEVER_COMPATIBLE, value=value, interval=interval, unit=unit, reason=reason
        )
    if high is None:
        reason = f"the upper limit lies beyond {positions[-2]:.3g} {unit}, where the search ends"
        return Answer(kind=Kind.AT_LEAST, value=value, interval=interval, unit=unit, reason=reason)
    kind = Kind.REACHED if high <= tested else Kind.BOUNDED
    return Answer(kind=kind, value=value, interval=interval, unit=unit)
