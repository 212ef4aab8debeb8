"""Accuracy against steps, jointly over batch and epochs, and what follows from it.

One curve in ``S = ceil(E N/B)`` describes all tuned (B, E) of a network; ``S_eff = S/(1 + Bc/B)``
interpolates between that law (Bc = 0) and one in examples seen (Bc -> inf). Epochs to a target,
accuracy at another batch and the batch where delta is lost are read from it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.answers import Answer, Interval, Kind, not_identified
from lars_sweep.fit.average import (
    AveragedFit,
    HeldOut,
    average,
    confidence_above,
    held_out,
    prediction,
)
from lars_sweep.fit.crossings import first_crossing, last_crossing, scan, target_answer
from lars_sweep.fit.distributions import student_quantile
from lars_sweep.fit.engine import (
    CurveFit,
    Data,
    Noise,
    profile_interval,
    profile_of_functional,
    profile_of_shape,
)
from lars_sweep.fit.forms import Exp, Form, Hinge2, Power, SeffExp
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.rows import Rows
from lars_sweep.fit.tuned import Tuned, tuned
from lars_sweep.nouns import count

MINIMUM_CELLS = 3
"""Fewer tuned (batch, epochs) than this give no curve."""
_SEARCH_OCTAVES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsFit:
    """``accuracy = f(S_eff)`` averaged over `steps_forms`."""

    cells: Tuned
    samples: float
    """N."""
    averaged: AveragedFit
    critical: Answer
    """Bc of ``S_eff = S/(1 + Bc/B)``; 0 is the steps law, infinite the examples law."""
    steps_law: bool | None
    """Whether Bc = 0 is compatible at 95 %; None without sigma."""
    examples_law: bool | None
    """Whether Bc -> inf is compatible at 95 %."""
    matched: Answer
    """Mean of accuracy at (2B, 2E) minus at (B, E), same S, points; needs three pairs."""
    held_out: HeldOut


def steps_forms(data: Data, chance: float) -> tuple[Form, ...]:
    """The averaging set, fixed in PROTOCOL.md 13: exp, hinge², power, S_eff-exp."""
    reference = float(np.exp(np.mean(np.log(data.x[:, 1])))) if len(data.y) else 1.0
    return Exp(chance), Hinge2(), Power(), SeffExp(reference, chance)


def steps_fit(
    rows: Rows,
    *,
    chance: float = 0.0,
    lr: str = "base_lr",
    metric: str = "accuracy",
    sigma: float | None = None,
    pool: Collection[str] = (),
) -> StepsFit | Answer:
    """Fit accuracy against steps to the rows of one model and optimizer.

    Args:
        rows: outcomes over batches, epochs and, where they were swept, learning rates.
        chance: accuracy of guessing, percent.
        lr: column of learning rates.
        metric: accuracy to report.
        sigma: standard deviation of one seed, if stated.
        pool: conditions declared to be part of the tuning, as the paper's warm-up.

    Returns:
        The fit, or `not_identified` with the reason.

    Raises:
        OutcomeError: a column is missing, or rows differ in what is not modelled.
    """
    table, noise = tuned(rows, lr=lr, metric=metric, sigma=sigma, pool=pool)
    if len(table) < MINIMUM_CELLS:
        return not_identified(
            f"{count(len(table), 'combination')} of batch and epochs finished, "
            f"{MINIMUM_CELLS} needed"
        )
    return fit_cells(table, float(rows.floats("samples")[0]), noise, chance)


def fit_cells(table: Tuned, samples: float, noise: Noise | None, chance: float) -> StepsFit:
    """`steps_fit` from tuned cells; samples is N."""
    data = table.data()
    averaged = average(steps_forms(data, chance), data, noise, table.shared_se)
    critical, laws = _critical(averaged)
    return StepsFit(
        cells=table,
        samples=samples,
        averaged=averaged,
        critical=critical,
        steps_law=laws[0],
        examples_law=laws[1],
        matched=_matched_steps(table, averaged.noise),
        held_out=held_out(lambda rest: steps_forms(rest, chance), data, noise),
    )


def _critical(averaged: AveragedFit) -> tuple[Answer, tuple[bool | None, bool | None]]:
    """Bc with its profile interval, and whether its two limits are compatible."""
    curve = averaged.fits[-1]
    form = curve.form
    if not isinstance(form, SeffExp):
        cells = count(len(curve.data.y), "cell")
        return not_identified(f"{cells}, 5 needed", "samples"), (None, None)
    if len(np.unique(curve.data.x[:, 1])) < 2:
        return not_identified("one batch: Bc needs two", "samples"), (None, None)
    if averaged.noise is None:
        reason = "no sigma: no interval"
        best = curve.parameters["Bc"]
        return Answer(kind=Kind.NO_SIGMA, value=best, unit="samples", reason=reason), (None, None)
    limit = curve.rss + averaged.noise.threshold(0.95)

    def profile(share: FloatArray) -> FloatArray:
        return profile_of_shape(curve, 1, share)

    ends = profile(np.array([0.0, 1.0])) <= limit
    found = profile_interval(profile, float(curve.theta[1]), limit, low=0.0, high=1.0)

    def batch(share: float | None) -> float | None:
        if share is None or share >= 1.0:
            return None
        return form.reference_batch * share / (1.0 - share)

    interval = Interval(low=0.0 if ends[0] else batch(found.low), high=batch(found.high))
    kind = Kind.BOUNDED if interval.high is not None else Kind.AT_LEAST
    if ends.all():
        kind = Kind.UNBOUNDED
    value = batch(float(curve.theta[1]))
    answer = Answer(kind=kind, value=value, interval=interval, unit="samples")
    return answer, (bool(ends[0]), bool(ends[1]))


def _matched_steps(table: Tuned, noise: Noise | None) -> Answer:
    """Paired comparison of cells whose steps agree to 1 %, larger batch minus smaller."""
    differences, variances = [], []
    for i in range(len(table)):
        for j in range(len(table)):
            same_steps = abs(table.steps[j] / table.steps[i] - 1.0) < 0.01
            if table.batch[j] > table.batch[i] and same_steps:
                differences.append(table.accuracy[j] - table.accuracy[i])
                variances.append(1.0 / table.weight[i] + 1.0 / table.weight[j])
    if len(differences) < 3:
        pairs = count(len(differences), "pair")
        return not_identified(f"{pairs} of equal steps, 3 needed", "points")
    mean = float(np.mean(differences))
    if noise is None:
        return Answer(kind=Kind.NO_SIGMA, value=mean, unit="points", reason="no sigma")
    se = float(np.sqrt(noise.variance * np.sum(variances))) / len(differences)
    quantile = student_quantile(0.975, noise.nu)
    interval = Interval(low=mean - quantile * se, high=mean + quantile * se)
    return Answer(kind=Kind.BOUNDED, value=mean, interval=interval, unit="points")


def epochs_to_target(
    found: StepsFit, target: float, batch: float, *, target_se: float = 0.0
) -> Answer:
    """Epochs at which a batch reaches an accuracy: ``E = S*(T) B/N`` with ``f(S*) = T``.

    Args:
        found: the joint fit.
        target: accuracy, percent.
        batch: global batch B.
        target_se: standard error of the target where it is itself an estimate (PROTOCOL.md 15).

    Returns:
        ``reached``, ``bounded``, ``at_least``, ``never_compatible``, ``cannot`` or ``no_sigma``.
    """
    scale = batch / found.samples
    steps = _search(found.cells)
    noise = found.averaged.noise
    if noise is None:
        above = found.averaged.predict(_points(steps, batch)) - target
        value = first_crossing(steps * scale, above, 0.0)
        reason = "no sigma: neither replicate seeds nor a stated one"
        return Answer(kind=Kind.NO_SIGMA, value=value, unit="epochs", reason=reason)

    def confidence(at: FloatArray) -> FloatArray:
        goal = np.full(len(at), target)
        return confidence_above(found.averaged, noise, _points(at, batch), goal, target_se)

    steps, climb = scan(confidence, steps)
    tested = float(np.max(found.cells.epochs[found.cells.batch == batch], initial=0.0))
    return target_answer(steps * scale, climb, tested, "epochs")


def _points(steps: FloatArray, batch: float) -> FloatArray:
    """Points (m, 2) of the curve at several steps of one batch."""
    return np.stack([steps, np.full(len(steps), float(batch))], axis=-1)


def _at_epochs(found: StepsFit, batch: FloatArray, epochs: float) -> FloatArray:
    """Points (m, 2) of the curve at several batches (m,) after the same epochs."""
    return np.stack([epochs * found.samples / batch, batch], axis=-1)


def _search(cells: Tuned) -> FloatArray:
    """Steps to search: from 1/8 of the fewest to 2**10 times the most, then infinitely many."""
    low, high = np.log2(cells.steps.min()) - 3, np.log2(cells.steps.max()) + _SEARCH_OCTAVES
    return np.append(np.exp2(np.arange(low, high, 1 / 6)), np.inf)


def accuracy_at(found: StepsFit, batch: float, epochs: float) -> Answer:
    """Accuracy of (batch, epochs), percent, from the averaged curve with its 95 % interval."""
    steps = np.ceil(epochs * found.samples / batch)
    return prediction(found.averaged, np.array([[steps, float(batch)]]))


def batch_losing(found: StepsFit, delta: float, epochs: float) -> Answer:
    """Largest batch that stays within delta points of the curve's end at fixed epochs.

    ``B = max{B : f(S(B)) >= a - delta}``, ``S = E N/B``, from the profile of each form.
    """
    noise = found.averaged.noise
    tested = found.cells.batch
    batches = np.exp2(np.arange(np.log2(tested.min()) - 2, np.log2(tested.max()) + 3, 1 / 6))

    def depth(curve: CurveFit, at: FloatArray) -> FloatArray:
        """Loss beyond delta (m,) at batches (m,)."""
        end = np.stack([np.full(len(at), np.inf), at], axis=-1)
        return curve.predict(end) - curve.predict(_at_epochs(found, at, epochs)) - delta

    if noise is None:
        depths = np.stack([depth(curve, batches) for curve in found.averaged.fits])
        value = first_crossing(batches, found.averaged.weights @ depths, 0.0)
        return Answer(kind=Kind.NO_SIGMA, value=value, unit="samples", reason="no sigma")

    def confidence(at: FloatArray) -> FloatArray:
        here = _at_epochs(found, at, epochs)
        total = np.zeros(len(at))
        for curve, weight in found.averaged.felt:
            rise = (_profile_of_loss(curve, here, delta) - curve.rss) / noise.variance
            root = np.sign(depth(curve, at)) * np.sqrt(np.clip(rise, 0.0, 1e12))
            total += weight * noise.confidence(root)
        return total

    batches, climb = scan(confidence, batches)
    interval = Interval(
        low=first_crossing(batches, climb, 0.025), high=last_crossing(batches, climb, 0.975)
    )
    value = first_crossing(batches, climb, 0.5)
    if value is None:
        reason = "delta is not lost at any batch searched"
        return Answer(kind=Kind.CENSORED_HIGH, interval=interval, unit="samples", reason=reason)
    both = interval.low is not None and interval.high is not None
    return Answer(
        kind=Kind.BOUNDED if both else Kind.UNBOUNDED,
        value=value,
        interval=interval,
        unit="samples",
    )


def _profile_of_loss(curve: CurveFit, at: FloatArray, delta: float) -> FloatArray:
    """Smallest RSS (m,) of curves with ``f(inf) - f(at[i]) = delta``: ``b g(at) = delta``."""

    def loss(theta: FloatArray, point: FloatArray) -> FloatArray:
        row = curve.form.basis(theta, point)[..., 0, :]
        return np.asarray(row * np.array([0.0, -1.0]))

    return profile_of_functional(curve, loss, at, np.full(len(at), delta))
