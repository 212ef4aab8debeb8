"""Several forms, one answer: Akaike weights, averaged confidence, envelope, held-out error.

No data set of a sweep's size tells the forms apart (5 batches pick the right one of three 17-69 %
of the time), so every derived number averages them. Tail areas are averaged, not estimates
(Turek and Fletcher 2012): a form that knows nothing then adds width, not bias.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.answers import Answer, Interval, estimate
from lars_sweep.fit.crossings import first_crossing, last_crossing, sparsely
from lars_sweep.fit.distributions import f_tail
from lars_sweep.fit.engine import (
    PROFILE,
    CurveFit,
    Data,
    Noise,
    fit,
    fit_many,
    profile_many,
    profile_of_value,
    value_of,
)
from lars_sweep.fit.forms import Form
from lars_sweep.fit.linear import FloatArray

_ENVELOPE_WEIGHT = 0.05
_NOTHING = 1e-17
"""Weight of a form that changes no digit of a confidence; its profile takes as long as another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Errors of prediction in the units of y; None where too few data are left to fit."""

    last: float | None
    """Signed error on the last row (largest batch, then longest), fitted without it."""
    persistence: float | None
    """The same of repeating the last row but one."""
    leave_one_out: float | None
    """Root mean square over the rows that are neither first nor last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedFit:
    """A fixed set of forms fitted to the same data."""

    fits: tuple[CurveFit, ...]
    weights: FloatArray
    """Akaike weights with a known sigma; equal ones without, where no criterion is defined."""
    noise: Noise | None
    """None: neither replicate seeds, nor a stated sigma, nor three spare observations."""
    lack_of_fit_p: float | None
    """P value of the best form's residuals being as small as the replicates' noise."""
    shared_se: float = 0.0
    """Standard error that all observations share, as of a bias; no curve through them shows it."""

    @property
    def best(self) -> CurveFit:
        """The form of largest weight."""
        return self.fits[int(np.argmax(self.weights))]

    def predict(self, x: FloatArray) -> FloatArray:
        """Weighted mean of the forms at x (m, d), (m,)."""
        return np.asarray(self.weights @ np.stack([curve.predict(x) for curve in self.fits]))

    def envelope(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Smallest and largest curve (m,) over the forms of weight above 0.05."""
        curves = [
            curve.predict(x)
            for curve, weight in zip(self.fits, self.weights, strict=True)
            if weight > _ENVELOPE_WEIGHT
        ]
        return np.min(curves, axis=0), np.max(curves, axis=0)

    @property
    def felt(self) -> list[tuple[CurveFit, float]]:
        """Forms with weights that a confidence can show."""
        pairs = zip(self.fits, self.weights.tolist(), strict=True)
        return [(curve, weight) for curve, weight in pairs if weight > _NOTHING]


def average(
    forms: Sequence[Form], data: Data, noise: Noise | None, shared_se: float = 0.0
) -> AveragedFit:
    """Fit every form and weigh them.

    A form with as many parameters as there are observations is left out (unless all have): any
    curve of its family that interpolates would do.

    Args:
        forms: the fixed set.
        data: observations, weights in units of replicate seeds.
        noise: variance of one seed from replicates or the user; None: from the residuals of the
            best form that leaves three spare observations.
        shared_se: standard error common to all observations.
    """
    fitted = [fit(form, data) for form in forms]
    allowed = max(min(curve.k for curve in fitted), len(data.y) - 1)
    fits = tuple(curve for curve in fitted if curve.k <= allowed)
    if noise is None:
        usable = [found for curve in fits if (found := curve.residual_noise()) is not None]
        noise = min(usable, key=lambda found: found.variance, default=None)
        equal = np.full(len(fits), 1.0 / len(fits))
        return AveragedFit(
            fits=fits, weights=equal, noise=noise, lack_of_fit_p=None, shared_se=shared_se
        )
    criterion = np.array([curve.rss / noise.variance + 2.0 * curve.k for curve in fits])
    weights = np.exp(-0.5 * (criterion - criterion.min()))
    averaged = AveragedFit(
        fits=fits,
        weights=weights / weights.sum(),
        noise=noise,
        lack_of_fit_p=None,
        shared_se=shared_se,
    )
    return dataclasses.replace(averaged, lack_of_fit_p=_lack_of_fit(averaged.best, noise))


def _lack_of_fit(curve: CurveFit, noise: Noise) -> float | None:
    spare = len(curve.data.y) - curve.k
    if spare < 1:
        return None
    return f_tail(curve.rss / spare / noise.variance, spare, noise.nu)


def confidence_above(
    averaged: AveragedFit,
    noise: Noise,
    at: FloatArray,
    values: FloatArray,
    values_se: float = 0.0,
    precision: float = PROFILE,
) -> FloatArray:
    """Averaged confidence (m,) that the curve at ``at[i]`` lies above ``values[i]``.

    ``values_se`` is the standard error of the values where they are estimates themselves: it adds
    to the curve's own in squares, and so does the error that the observations share. ``precision``
    is that of the shapes in the profiles: a picture needs less than a number.
    """
    extra = float(np.hypot(values_se, averaged.shared_se))
    total = np.zeros(len(values))
    for curve, weight in averaged.felt:
        rise = (profile_of_value(curve, at, values, precision) - curve.rss) / noise.variance
        distance = curve.predict(at) - values
        root = _widened(np.sqrt(np.clip(rise, 0.0, 1e12)), distance, extra)
        total += weight * noise.confidence(np.sign(distance) * root)
    return total


def _widened(root: FloatArray, distance: FloatArray, se: float | FloatArray) -> FloatArray:
    """Root of a deviance after an independent error ``se`` is added to the distance behind it."""
    apart = np.abs(distance) > 0
    scale = np.hypot(distance, root * se)
    return np.where(apart, root * np.abs(distance) / np.where(apart, scale, 1.0), 0.0)


def confidence_of_replicates(
    forms: Sequence[Form],
    data: tuple[FloatArray, FloatArray, FloatArray],
    noise: tuple[FloatArray, float],
    at: FloatArray,
    value: float,
    shared_se: FloatArray | float = 0.0,
) -> FloatArray:
    """`confidence_above` one value at one point for many replicates of a design at once (R,).

    Args:
        forms: the fixed set; all have fewer parameters than there are observations.
        data: x (n, d), y (R, n), weights (R, n).
        noise: variances of one seed (R,) and their common degrees of freedom.
        at: the point (1, d).
        value: what the curve may lie above.
        shared_se: error that the observations of a replicate share (R,).
    """
    x, y, weights = data
    variance, nu = noise
    count = len(y)
    roots, criteria = [], []
    for form in forms:
        theta, beta, rss = fit_many(form, x, y, weights)
        here = np.sum(value_of(form)(theta, at[None]) * beta, axis=-1)
        point, goal = np.broadcast_to(at, (count, at.shape[1])), np.full(count, value)
        rise = (profile_many(form, data, value_of(form), point, goal) - rss) / variance
        root = _widened(np.sqrt(np.clip(rise, 0.0, 1e12)), here - value, shared_se)
        roots.append(np.sign(here - value) * root)
        criteria.append(rss / variance + 2.0 * (theta.shape[1] + beta.shape[1]))
    criterion = np.stack(criteria)
    share = np.exp(-0.5 * (criterion - criterion.min(axis=0)))
    confidence = Noise(variance=1.0, nu=nu, source="replicates").confidence(np.stack(roots))
    return np.asarray(np.sum(share / share.sum(axis=0) * confidence, axis=0))


def prediction(averaged: AveragedFit, at: FloatArray, unit: str = "%") -> Answer:
    """The averaged curve at one point (1, d) with the 95 % interval of its mean."""
    value = float(averaged.predict(at)[0])
    noise = averaged.noise
    if noise is None:
        return estimate(value, None, unit=unit, reason="no sigma")
    low, high = averaged.envelope(at)
    reach = 6.0 * np.sqrt(noise.variance / np.min(averaged.best.data.weights))

    def confidence_below(levels: FloatArray) -> FloatArray:
        points = np.repeat(at, len(levels), axis=0)
        return 1.0 - confidence_above(averaged, noise, points, levels)

    for _ in range(5):  # outside the data the curves part by more than the seeds scatter
        every = np.linspace(low[0] - reach, high[0] + reach, 241)
        levels, below = sparsely(confidence_below, every)
        interval = Interval(
            low=first_crossing(levels, below, 0.025), high=last_crossing(levels, below, 0.975)
        )
        if math.isfinite(interval.width):
            break
        reach *= 4.0
    return estimate(value, interval, unit=unit)


def held_out(forms: Callable[[Data], Sequence[Form]], data: Data, noise: Noise | None) -> HeldOut:
    """Errors of the averaged prediction on data it has not seen; rows sorted by (batch, epochs).

    Args:
        forms: builds the set for given data (some forms carry a reference taken from the data).
        data: observations in the order that decides which is last.
        noise: as `average`.
    """
    n = len(data.y)
    if n < 4:
        return HeldOut(last=None, persistence=None, leave_one_out=None)

    def error(index: int) -> float:
        rest = data.without(index)
        found = average(forms(rest), rest, noise).predict(data.x[index : index + 1])
        return float(found[0] - data.y[index])

    inner = [error(i) for i in range(1, n - 1)]
    return HeldOut(
        last=error(n - 1),
        persistence=float(data.y[-2] - data.y[-1]),
        leave_one_out=float(np.sqrt(np.mean(np.square(inner)))),
    )
