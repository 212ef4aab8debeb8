"""What the fitted curves say of a setting that was not run, and where they refuse to.

No form is known well enough to be believed more than an octave outside the data: there the answer
is a refusal unless the caller insists.
"""

from __future__ import annotations

import numpy as np

from lars_sweep.fit import steps
from lars_sweep.fit.answers import Answer, Interval, Kind, not_identified
from lars_sweep.fit.best_lr import MINIMUM_TO_RANK, LrScaling, noise_of
from lars_sweep.fit.crossings import first_crossing, last_crossing, sparsely
from lars_sweep.fit.engine import CurveFit, Noise
from lars_sweep.fit.linear import FloatArray, lstsq_on_line
from lars_sweep.fit.search import minimise

OCTAVES = 1.0
"""How far outside the data an answer is given."""
_SLACK = 0.01
"""Octaves: steps are rounded up, so that twice the batch is not quite half the steps."""
_PROFILE = 1e-6
_LEVELS = 401


def accuracy_at(
    found: steps.StepsFit, batch: float, epochs: float, *, extrapolate: bool = False
) -> Answer:
    """`steps.accuracy_at`, refused more than an octave outside the batches or steps that were run.

    Args:
        found: the joint fit.
        batch: global batch.
        epochs: epochs E.
        extrapolate: answer anyway.
    """
    count = float(np.ceil(epochs * found.samples / batch))
    if not extrapolate:
        for name, value, tested in (
            ("batch", batch, found.cells.batch),
            ("steps", count, found.cells.steps),
        ):
            if (reason := _too_far(name, value, tested)) is not None:
                return not_identified(reason, "%")
    return steps.accuracy_at(found, batch, epochs)


def lr_at(scaling: LrScaling, batch: float, *, extrapolate: bool = False) -> Answer:
    """The best LR at a batch with its 95 % interval, averaged over the forms.

    Of each form the profile over its value at the batch, as tail areas. Where too few batches rank
    the forms, the value is the saturating form's, fixed beforehand (fit-methods.md, 3e). Refused
    more than an octave outside the batches with a best LR.

    Args:
        scaling: the fits.
        batch: global batch.
        extrapolate: answer anyway.

    Returns:
        ``bounded``, ``no_sigma`` where neither errors nor spare batches say how good it is, or
        ``not_identified``.
    """
    if not extrapolate and (reason := _too_far("batch", batch, scaling.points.batch)) is not None:
        return not_identified(reason)
    curves, weights, main = _weighted(scaling)
    at = np.array([[batch]])
    values = np.array([float(curve.predict(at)[0]) for curve in curves])
    value = float(np.exp(weights @ values if main is None else main.predict(at)[0]))
    best = max(range(len(curves)), key=lambda i: (weights[i], -curves[i].rss))
    noise = noise_of(curves[best], scaling.points)
    if noise is None:
        reason = "no spare batch and no errors of the best LRs"
        return Answer(kind=Kind.NO_SIGMA, value=value, reason=reason)
    interval = _interval(curves, weights, noise, values, at)
    return Answer(kind=Kind.BOUNDED, value=value, interval=interval)


def _weighted(scaling: LrScaling) -> tuple[list[CurveFit], FloatArray, CurveFit | None]:
    """Forms, their weights, and the form whose value stands for all, if one does.

    Where no form may be called the best (`MINIMUM_TO_RANK`), or one leaves no residual at all, the
    criterion must not weigh them: the richest ones, which contain the others as limits, count
    alike. With a third of the weight each, all their values lie inside the averaged interval.
    """
    curves = [score.fit for score in scaling.forms]
    criteria = [score.aicc for score in scaling.forms]
    known = np.array([value for value in criteria if value is not None])
    few = scaling.points.se is None and len(scaling.points.batch) < MINIMUM_TO_RANK
    if few or len(known) < len(criteria):
        most = max(curve.k for curve in curves)
        rich = [curve for curve in curves if curve.k == most]
        main = next(curve for curve in rich if curve.form.name == "saturating")
        return rich, np.full(len(rich), 1.0 / len(rich)), main
    weights = np.exp(-0.5 * (known - known.min()))
    return curves, weights / weights.sum(), None


def _too_far(name: str, value: float, tested: FloatArray) -> str | None:
    """Why a value is refused, None if it is near enough."""
    low, high = float(np.min(tested)), float(np.max(tested))
    beyond = max(np.log2(value / high), np.log2(low / value))
    if beyond <= OCTAVES + _SLACK:
        return None
    return (
        f"{name} {value:.6g} lies {beyond:.1f} octaves outside the {low:.6g} to {high:.6g} that "
        f"were run, at most {OCTAVES:g} is answered"
    )


def _interval(
    curves: list[CurveFit],
    weights: FloatArray,
    noise: Noise,
    values: FloatArray,
    at: FloatArray,
) -> Interval:
    """95 % interval of the LR from the averaged confidence that log LR lies below a level."""
    spread = np.sqrt(noise.variance / np.min(curves[0].data.weights))
    reach = 8.0 * float(np.ptp(values) + spread) + 1e-6
    middle = float(weights @ values)

    def confidence_below(levels: FloatArray) -> FloatArray:
        below = np.zeros(len(levels))
        for curve, weight, own in zip(curves, weights, values, strict=True):
            rise = np.clip((_profile(curve, at, levels) - curve.rss) / noise.variance, 0.0, 1e12)
            below += weight * noise.confidence(np.sign(levels - own) * np.sqrt(rise))
        return below

    for _ in range(6):
        every = middle + reach * np.linspace(-1.0, 1.0, _LEVELS)
        levels, below = sparsely(confidence_below, every)
        low, high = first_crossing(levels, below, 0.025), last_crossing(levels, below, 0.975)
        if low is not None and high is not None:
            return Interval(low=float(np.exp(low)), high=float(np.exp(high)))
        reach *= 4.0
    return Interval(low=None, high=None)


def _profile(curve: CurveFit, at: FloatArray, values: FloatArray) -> FloatArray:
    """Smallest RSS (m,) of curves through ``(at, values[i])``; the form may have an offset."""
    form, data, feasible = curve.form, curve.data, curve.form.feasible()

    def objective(theta: FloatArray) -> FloatArray:
        shapes = theta[None] if theta.ndim == 2 else theta
        here = form.basis(shapes, at)[..., 0, :]
        shift = np.broadcast_to(form.offset(shapes, at), (*shapes.shape[:-1], 1))[..., 0]
        target = np.broadcast_to(values[:, None], (len(values), shapes.shape[-2])) - shift
        rest = data.y - form.offset(shapes, data.x)
        basis = form.basis(shapes, data.x)
        return lstsq_on_line(basis, rest, data.weights, feasible, here, target)[1]

    theta = minimise(objective, form.grid(data.x), len(values), precision=_PROFILE)
    return np.asarray(objective(theta[:, None, :])[:, 0])
