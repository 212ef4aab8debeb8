"""How the best learning rate grows with the batch: forms compared, slopes tested with margins.

All in ``log LR``. Testing a slope alone says little: if saturation is true a power law shows about
1/2 by accident, so the forms are compared and the hypotheses are judged by both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lars_sweep.fit.answers import Answer, Interval, estimate, not_identified
from lars_sweep.fit.distributions import student_cdf
from lars_sweep.fit.engine import (
    CurveFit,
    Data,
    Noise,
    corrected_akaike,
    fit,
    profile_interval,
    profile_of_linear,
    profile_of_shape,
)
from lars_sweep.fit.forms import Form
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.log_forms import LogFixedPower, LogPower, LogSaturating
from lars_sweep.fit.lr_interval import LrInterval
from lars_sweep.nouns import count

Conclusion = Literal["equivalent", "rejected", "compatible", "untested"]

MINIMUM_BATCHES = 3
SPARE_TO_RANK = 5
"""Batches beyond the richest form's parameters, sigma counted, below which no form is called the
best one, unless the errors of the LRs are known. With five batches, one parameter more costs 20
units of the corrected criterion, which only residuals 50 times smaller could repay: there the
number of batches chooses the form, not the LRs."""
MINIMUM_TO_RANK = 3 + SPARE_TO_RANK
"""The same for one network: of a slope, a constant and sigma."""
MARGIN = 0.1
"""Half-width of the exponents that count as equal to a hypothesis."""

NO_BEST = "not identified"

LR_FORMS: tuple[Form, ...] = (
    LogPower(),
    LogSaturating(),
    LogSaturating(power=0.5),
    LogFixedPower(alpha=0.5),
    LogFixedPower(alpha=1.0),
    LogFixedPower(alpha=0.0),
)
"""Power, saturating, LARS's own null, square root, linear, constant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BestLr:
    """The best LR of every batch, (n,) each."""

    batch: FloatArray
    lr: FloatArray
    se: FloatArray | None
    """Standard errors of log LR; None: unknown, taken from the residuals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormScore:
    """One form of LR(B): its fit, its criterion and its predictions."""

    fit: CurveFit
    aicc: float | None
    """Akaike's criterion, corrected unless the errors are known; None where undefined."""
    last_ratio: float | None
    """LR of the largest batch predicted from the others, over the actual one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A statement ``alpha = value`` about the power law, tested with an equivalence margin."""

    name: str
    alpha: float
    p_value: float | None
    """Of alpha = value, two-sided."""
    equivalence_p: float | None
    """Of |alpha - value| >= margin (two one-sided tests)."""
    conclusion: Conclusion


@dataclass(frozen=True, slots=True, kw_only=True)
class LrScaling:
    """How the best LR grows with the batch."""

    points: BestLr
    forms: tuple[FormScore, ...]
    alpha: Answer
    """Exponent of the power law."""
    saturation_batch: Answer
    """B0 of ``LR = c/(1 + B0/B)``; 0 is a constant LR, infinite the linear rule."""
    hypotheses: tuple[Hypothesis, ...]
    best_form: str
    """Name of the form of smallest criterion; `NO_BEST` where too few batches rank them."""
    verdict: str
    """One sentence."""


def best_lrs(intervals: Sequence[LrInterval]) -> BestLr:
    """Best LR per batch from LR intervals: the middle of the good ones, in octaves.

    On a flat top the single best LR is not identified, but the middle of the interval is: its
    standard error follows from the limits of both edges.
    """
    found = []
    for interval in intervals:
        ends = (interval.low, interval.high)
        values = [end.value for end in ends]
        if any(value is None for value in values):
            continue
        logs = [float(np.log(value)) for value in values if value is not None]
        widths = [
            end.interval.map(np.log).width if end.interval is not None else np.inf for end in ends
        ]
        se = 0.5 * float(np.hypot(widths[0], widths[1])) / (2 * 1.959964)
        found.append((float(interval.global_batch), float(np.exp(np.mean(logs))), se))
    columns = np.array(found, dtype=np.float64).reshape(len(found), 3).T
    known = bool(np.all(np.isfinite(columns[2]))) and len(found) > 0
    return BestLr(batch=columns[0], lr=columns[1], se=columns[2] if known else None)


def lr_scaling(points: BestLr) -> LrScaling | Answer:
    """Fit and compare all forms of LR(B).

    Args:
        points: best LRs, `lr_peak` rather than nominal where they differ (PROTOCOL.md 8).

    Returns:
        The comparison, or `not_identified` below three batches.
    """
    if len(points.batch) < MINIMUM_BATCHES:
        return not_identified(
            f"{count(len(points.batch), 'batch')} with a best LR, {MINIMUM_BATCHES} needed"
        )
    order = np.argsort(points.batch)
    points = dataclasses.replace(
        points,
        batch=points.batch[order],
        lr=points.lr[order],
        se=None if points.se is None else points.se[order],
    )
    data = _data(points)
    scores = tuple(_score(form, data, known=points.se is not None) for form in LR_FORMS)
    power, saturating = scores[0].fit, scores[1].fit
    noise = noise_of(power, points)
    alpha = _alpha(power, noise)
    hypotheses = tuple(
        _test(name, value, power, alpha, noise)
        for name, value in (("linear", 1.0), ("square root", 0.5), ("constant", 0.0))
    )
    best = _best(scores, points)
    return LrScaling(
        points=points,
        forms=scores,
        alpha=alpha,
        saturation_batch=_saturation(saturating, noise_of(saturating, points)),
        hypotheses=hypotheses,
        best_form=best,
        verdict=_verdict(alpha, hypotheses, best),
    )


def _data(points: BestLr) -> Data:
    weights = np.ones(len(points.lr)) if points.se is None else 1.0 / points.se**2
    return Data(x=points.batch[:, None], y=np.log(points.lr), weights=weights)


def noise_of(curve: CurveFit, points: BestLr) -> Noise | None:
    """Noise of log LR: known with the points' errors, else from the curve's residuals, if any."""
    if points.se is not None:
        return Noise(variance=1.0, nu=np.inf, source="replicates")
    return curve.residual_noise(least=1)


def _score(form: Form, data: Data, *, known: bool) -> FormScore:
    curve = fit(form, data)
    n = len(data.y)
    criterion = curve.rss + 2.0 * curve.k if known else curve.aicc
    ratio: float | None = None
    if n - 1 >= curve.k:
        earlier = fit(form, data.without(n - 1)).predict(data.x[-1:])[0]
        ratio = float(np.exp(earlier - data.y[-1]))
    return FormScore(fit=curve, aicc=criterion, last_ratio=ratio)


def _alpha(power: CurveFit, noise: Noise | None) -> Answer:
    value = power.parameters["alpha"]
    if noise is None:
        return estimate(value, None, reason="no spare batch and no errors of the best LRs")

    def profile(values: FloatArray) -> FloatArray:
        return profile_of_linear(power, 1, values)

    limit = power.rss + noise.threshold(0.95)
    return estimate(value, profile_interval(profile, value, limit, low=-20.0, high=20.0))


def _saturation(curve: CurveFit, noise: Noise | None) -> Answer:
    """B0 with its profile interval; an end of the search is a limit of the family, not a value."""
    value = curve.parameters["B0"]
    if noise is None:
        return estimate(value, None, unit="samples", reason="no spare batch and no errors")
    axis = curve.form.grid(curve.data.x)[0]
    limit = curve.rss + noise.threshold(0.95)

    def profile(values: FloatArray) -> FloatArray:
        return profile_of_shape(curve, 0, values)

    found = profile_interval(
        profile, float(curve.theta[0]), limit, low=float(axis[0]), high=float(axis[-1])
    )
    interval = found.map(np.exp)
    if interval.low is None:
        interval = Interval(low=0.0, high=interval.high)
    return estimate(value, interval, unit="samples")


def _test(
    name: str, value: float, power: CurveFit, alpha: Answer, noise: Noise | None
) -> Hypothesis:
    """Two-sided test of alpha and two one-sided tests of its equivalence, from the profile."""
    if noise is None or alpha.value is None:
        return Hypothesis(
            name=name, alpha=value, p_value=None, equivalence_p=None, conclusion="untested"
        )
    edges = np.array([value, value - MARGIN, value + MARGIN])
    rise = np.maximum(profile_of_linear(power, 1, edges) - power.rss, 0.0) / noise.variance
    roots = np.sign(alpha.value - edges) * np.sqrt(rise)
    p_value = float(2.0 * student_cdf(-abs(roots[0]), noise.nu))
    equivalence_p = float(max(student_cdf(np.array([-roots[1], roots[2]]), noise.nu)))
    conclusion: Conclusion = "compatible"
    if equivalence_p < 0.05:
        conclusion = "equivalent"
    elif p_value < 0.05:
        conclusion = "rejected"
    return Hypothesis(
        name=name, alpha=value, p_value=p_value, equivalence_p=equivalence_p, conclusion=conclusion
    )


def _best(scores: tuple[FormScore, ...], points: BestLr) -> str:
    if points.se is None and len(points.batch) < MINIMUM_TO_RANK:
        return NO_BEST
    judged = [(score.aicc, score.fit.form.name) for score in scores if score.aicc is not None]
    return min(judged)[1] if judged else NO_BEST


def _verdict(alpha: Answer, hypotheses: tuple[Hypothesis, ...], best: str) -> str:
    if alpha.value is None or alpha.interval is None:
        return "Too few batches, and no errors of the best LRs, to judge how the best LR grows."
    words = {
        "rejected": "is rejected",
        "compatible": "is neither rejected nor shown",
        "equivalent": f"holds within ±{MARGIN:g}",
        "untested": "is untested",
    }
    judged = "; ".join(f"{h.name} scaling {words[h.conclusion]}" for h in hypotheses)
    low, high = alpha.interval.low, alpha.interval.high
    ends = f"{'-∞' if low is None else f'{low:.2f}'} to {'∞' if high is None else f'{high:.2f}'}"
    growth = f"The best LR grows as B to the power {alpha.value:.2f} ({ends})"
    return f"{growth}; {judged}; best form: {best.replace('_', ' ')}."


def pooled_criterion(networks: Sequence[BestLr]) -> dict[str, float]:
    """AICc per form over several networks, each with parameters of its own, one common sigma.

    RSS, n and parameters are summed. Empty with so few batches that the criterion would count
    parameters, not residuals (`SPARE_TO_RANK`).
    """
    totals: dict[str, float] = {}
    n = sum(len(points.batch) for points in networks)
    for form in LR_FORMS:
        curves = [fit(form, _data(dataclasses.replace(points, se=None))) for points in networks]
        k = 1 + sum(curve.k for curve in curves)
        criterion = corrected_akaike(n, k, sum(curve.rss for curve in curves))
        if criterion is None or n < k + SPARE_TO_RANK:
            return {}
        totals[form.name] = criterion
    return totals
