"""Generalization gap (the paper's Figure 1): is it larger at large batch, or shown to be equal?

``gap = test_loss - train_loss``, both in eval mode on the same weights, the train loss over a fixed
subset without augmentation. One run per batch that "shows no significant difference" is
inconclusive; equality needs two one-sided tests (TOST) with a margin stated beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from lars_sweep.fit.answers import Answer, Interval, Kind, not_identified
from lars_sweep.fit.distributions import standard_error, student_cdf, student_quantile
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.rows import Rows, refuse_mixed
from lars_sweep.nouns import count

Conclusion = Literal["equivalent", "different", "both", "inconclusive"]

_FEW = "fewer than two seeds a batch"
MARGIN_SHARE = 0.1
"""Default margin: this share of the small batch's gap."""
EXPLORATORY_POWER = 0.6
"""Equivalence planned with less power than this is exploratory (PROTOCOL.md 17)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GapComparison:
    """Mean gap at a batch minus at the smallest batch."""

    batch: float
    seeds: int
    gap: Answer
    """Mean gap at this batch, nats."""
    difference: Answer
    """Welch's interval, or that of pairs of seeds, nats."""
    margin: float
    equivalence_p: float | None
    """P value of |difference| >= margin."""
    power: float | None
    """Chance that the equivalence test would succeed were the gaps equal."""
    exploratory: bool
    conclusion: Conclusion


@dataclass(frozen=True, slots=True, kw_only=True)
class GapBand:
    """Mean gap over training at one batch with its 95 % band over seeds, (n,) each."""

    batch: float
    epochs: FloatArray
    mean: FloatArray
    low: FloatArray
    """NaN below two seeds, as is ``high``."""
    high: FloatArray
    seeds: FloatArray


def final_gaps(
    rows: Rows, *, margin: float | None = None, pool: Collection[str] = (), paired: bool = False
) -> tuple[GapComparison, ...] | Answer:
    """Compare the gap of every batch with that of the smallest.

    Args:
        rows: finished runs at their chosen LR, with ``train_loss`` and ``test_loss``.
        margin: largest difference that counts as none, nats; 10 % of the small batch's gap if
            absent.
        pool: conditions declared to have no effect.
        paired: whether a seed had the same random numbers at every batch (``seeds.paired``): then
            each seed is compared with itself (PROTOCOL.md 17).

    Returns:
        One comparison per larger batch, or `not_identified`.
    """
    refuse_mixed(rows, ("global_batch",), ("epochs", *pool))
    gaps = rows.floats("test_loss") - rows.floats("train_loss")
    usable = rows.where((rows.status == "ok") & np.isfinite(gaps))
    values = [
        (float(batch), _gap_per_seed(group, paired))
        for (batch,), group in usable.groups(("global_batch",))
    ]
    if len(values) < 2:
        return not_identified(f"{count(len(values), 'batch')} with both losses, 2 needed", "nats")
    reference = values[0][1]
    middle = float(np.mean(list(reference.values())))
    limit = MARGIN_SHARE * abs(middle) if margin is None else margin
    return tuple(_compare(batch, gap, reference, limit, paired) for batch, gap in values[1:])


def _gap_per_seed(rows: Rows, paired: bool) -> dict[object, float]:
    """Gap of every run by its seed; where seeds are not paired any key of its own will do."""
    keys = rows["seed"].tolist() if paired else range(len(rows))
    gaps = rows.floats("test_loss") - rows.floats("train_loss")
    return dict(zip(keys, gaps.tolist(), strict=True))


def _difference(
    gap: Mapping[object, float], reference: Mapping[object, float], paired: bool
) -> tuple[float, float | None, float]:
    """Mean difference, its standard error (None: unknown) and degrees of freedom."""
    if paired:
        both = np.array([gap[seed] - reference[seed] for seed in gap if seed in reference])
        if len(both) < 2 or np.ptp(both) == 0:
            return float(np.mean(both)) if len(both) else np.nan, None, 0.0
        return float(np.mean(both)), standard_error(both), len(both) - 1.0
    mine, theirs = (np.array(list(values.values())) for values in (gap, reference))
    return float(np.mean(mine) - np.mean(theirs)), *_welch(mine, theirs)


def _compare(
    batch: float,
    gap: Mapping[object, float],
    reference: Mapping[object, float],
    margin: float,
    paired: bool,
) -> GapComparison:
    difference, se, nu = _difference(gap, reference, paired)
    own = _mean_answer(np.array(list(gap.values())))
    if se is None:
        answer = Answer(
            kind=Kind.NO_SIGMA,
            value=difference if np.isfinite(difference) else None,
            unit="nats",
            reason="fewer than two seeds in both batches" if paired else _FEW,
        )
        return GapComparison(
            batch=batch,
            seeds=len(gap),
            gap=own,
            difference=answer,
            margin=margin,
            equivalence_p=None,
            power=None,
            exploratory=True,
            conclusion="inconclusive",
        )
    half = student_quantile(0.975, nu) * se
    interval = Interval(low=difference - half, high=difference + half)
    p = float(student_cdf((abs(difference) - margin) / se, nu))
    power = tost_power(margin, se, nu)
    differs = 0.0 not in interval
    conclusions: dict[tuple[bool, bool], Conclusion] = {
        (True, True): "both",
        (True, False): "equivalent",
        (False, True): "different",
        (False, False): "inconclusive",
    }
    return GapComparison(
        batch=batch,
        seeds=len(gap),
        gap=own,
        difference=Answer(kind=Kind.BOUNDED, value=difference, interval=interval, unit="nats"),
        margin=margin,
        equivalence_p=p,
        power=power,
        exploratory=power < EXPLORATORY_POWER,
        conclusion=conclusions[(p < 0.05, differs)],
    )


def _welch(a: FloatArray, b: FloatArray) -> tuple[float | None, float]:
    """Standard error of a difference of means and Welch's degrees of freedom."""
    if min(len(a), len(b)) < 2:
        return None, 0.0
    parts = [float(np.var(sample, ddof=1)) / len(sample) for sample in (a, b)]
    total = sum(parts)
    if total <= 0:
        return None, 0.0
    nu = total**2 / (parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1))
    return float(np.sqrt(total)), nu


def _mean_answer(sample: FloatArray) -> Answer:
    mean = float(np.mean(sample))
    if len(sample) < 2 or np.ptp(sample) == 0:
        return Answer(kind=Kind.NO_SIGMA, value=mean, unit="nats", reason="no spread over seeds")
    half = student_quantile(0.975, len(sample) - 1) * standard_error(sample)
    interval = Interval(low=mean - half, high=mean + half)
    return Answer(kind=Kind.BOUNDED, value=mean, interval=interval, unit="nats")


def tost_power(margin: float, se: float, nu: float) -> float:
    """Chance that two one-sided t tests at 5 % show |difference| < margin when it is 0.

    ``P(|T| < margin/se - t(0.95; nu))`` for a central t, which neglects the dependence of the
    estimated se on itself; exact as nu grows.
    """
    room = margin / se - student_quantile(0.95, nu)
    return 0.0 if room <= 0 else float(2.0 * student_cdf(room, nu) - 1.0)


def gap_bands(curves: Rows) -> tuple[GapBand, ...]:
    """Mean gap and its 95 % band per batch and evaluation point.

    Args:
        curves: columns global_batch, seed, epochs, train_loss, test_loss.
    """
    bands = []
    for (batch,), group in curves.groups(("global_batch",)):
        points = []
        for (epochs,), at in group.groups(("epochs",)):
            gap = at.floats("test_loss") - at.floats("train_loss")
            gap = gap[np.isfinite(gap)]
            if not len(gap):
                continue
            half = np.nan
            if len(gap) > 1:
                se = float(np.std(gap, ddof=1)) / math.sqrt(len(gap))
                half = float(special.stdtrit(len(gap) - 1, 0.975)) * se
            mean = float(np.mean(gap))
            points.append((float(epochs), mean, mean - half, mean + half, float(len(gap))))
        columns = np.array(points, dtype=np.float64).reshape(len(points), 5).T
        bands.append(
            GapBand(
                batch=float(batch),
                epochs=columns[0],
                mean=columns[1],
                low=columns[2],
                high=columns[3],
                seeds=columns[4],
            )
        )
    return tuple(bands)


def gap_at_matched_train_loss(curves: Rows, small: float, large: float) -> Answer:
    """Test loss at equal train loss, large batch minus small: overfitting without slow training.

    Every seed's test loss is interpolated in its train loss (running minimum) at the largest final
    train loss of all seeds, which every seed passes; Welch's interval over seeds.

    Args:
        curves: columns global_batch, seed, epochs, train_loss, test_loss.
        small: the reference batch.
        large: the batch compared with it.
    """
    paths: dict[float, list[tuple[FloatArray, FloatArray]]] = {small: [], large: []}
    for (batch, _), run in curves.groups(("global_batch", "seed")):
        if float(batch) not in paths:
            continue
        order = np.argsort(run.floats("epochs"))
        train, test = run.floats("train_loss")[order], run.floats("test_loss")[order]
        known = np.isfinite(train) & np.isfinite(test)
        if known.any():
            paths[float(batch)].append((np.minimum.accumulate(train[known]), test[known]))
    if not all(paths.values()):
        return not_identified("a batch has no curve with both losses", "nats")
    ends = [float(train[-1]) for runs in paths.values() for train, _ in runs]
    level = max(ends)
    matched = {
        batch: np.array([np.interp(level, train[::-1], test[::-1]) for train, test in runs])
        for batch, runs in paths.items()
    }
    difference = float(np.mean(matched[large]) - np.mean(matched[small]))
    se, nu = _welch(matched[large], matched[small])
    if se is None:
        return Answer(kind=Kind.NO_SIGMA, value=difference, unit="nats", reason=_FEW)
    half = student_quantile(0.975, nu) * se
    interval = Interval(low=difference - half, high=difference + half)
    return Answer(kind=Kind.BOUNDED, value=difference, interval=interval, unit="nats")
