"""The good learning rates of every batch: in γ, in γη, in measured effective LR; LARS over SGD."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lars_sweep.fit.analysis.entries import Entry, Missing, Refused, TooLittle, attempt
from lars_sweep.fit.analysis.groups import Group, choice_metric
from lars_sweep.fit.analysis.options import FitOptions
from lars_sweep.fit.answers import Answer, Interval, Kind, not_identified
from lars_sweep.fit.baseline import BaselineInterval, against_baseline
from lars_sweep.fit.cells import cells
from lars_sweep.fit.distributions import chi2_quantile
from lars_sweep.fit.divergence import isotonic, takeover_deviance
from lars_sweep.fit.lr_interval import LrInterval, lr_interval, width_ratio
from lars_sweep.fit.rows import Array, Rows
from lars_sweep.nouns import count

_LIMIT = chi2_quantile(0.95, 1)

Codes = tuple[list[str], npt.NDArray[np.intp]]
"""Of a column: its different values, and each row's index into them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveLr:
    """The edges of an LR interval in measured effective LR, the mean of γλ over the tensors."""

    low: Answer
    high: Answer
    lrs: tuple[float, ...]
    """Nominal LRs with measured norms, ascending."""
    effective: tuple[float, ...]
    """Effective LR at each of them, made non-decreasing."""

    def at(self, lr: float) -> float | None:
        """Effective LR at a nominal one, log-log interpolated; None outside the measured LRs."""
        if not self.lrs[0] <= lr <= self.lrs[-1]:
            return None
        return float(np.exp(np.interp(np.log(lr), np.log(self.lrs), np.log(self.effective))))


@dataclass(frozen=True, slots=True, kw_only=True)
class LrFinding:
    """Which LRs are good at one batch and number of epochs."""

    interval: LrInterval
    """In nominal LR γ0."""
    metric: str
    """The accuracy that decided."""
    peak: LrInterval | TooLittle
    """In the largest LR of the schedule."""
    gamma_eta: LrInterval | TooLittle
    """In γ0 η."""
    effective: EffectiveLr | TooLittle
    versus_baseline: BaselineInterval | Missing
    """LRs that keep up with the baseline batch's plateau, in nominal LR."""
    takeover: Answer
    """Nominal LR where half of the seeds diverge."""


def lr_findings(
    group: Group, options: FitOptions, effective: EffectiveLrs | None
) -> tuple[Entry[LrFinding], ...]:
    """One entry per batch and epochs of a group.

    Args:
        group: rows of one model and optimizer.
        options: delta, sigma and the baseline batch.
        effective: effective LR of every trial, None without recorded layers.
    """
    metric = choice_metric(group.rows)
    found: list[Entry[LrFinding]] = []
    for epochs, part in group.at_epochs():
        known: dict[int, LrInterval | Missing] = {}
        rows_at: dict[int, Rows] = {}
        for (batch,), rows in part.rows.groups(("global_batch",)):
            rows_at[int(batch)] = rows
            known[int(batch)] = _interval(rows, options, metric, int(batch), epochs)
        baseline = _baseline(known, options.baseline)
        for batch, interval in known.items():
            result: LrFinding | Missing = (
                _finding(rows_at[batch], interval, baseline, options, metric, effective)
                if isinstance(interval, LrInterval)
                else interval
            )
            found.append(part.entry(result, batch=batch, epochs=epochs))
    return tuple(found)


def _interval(
    rows: Rows, options: FitOptions, metric: str, batch: int, epochs: float
) -> LrInterval | Missing:
    if "base_lr" not in rows:
        return TooLittle("the table has no column base_lr")
    usable = rows.where(rows.floats("base_lr") > 0)
    if not len(usable):
        return TooLittle("no row states its base_lr")
    return attempt(
        lambda: lr_interval(
            usable,
            options.delta,
            batch=batch,
            epochs=epochs,
            metric=metric,
            sigma=options.sigma,
            paired=options.paired,
        )
    )


def _baseline(known: dict[int, LrInterval | Missing], wanted: int | None) -> LrInterval | TooLittle:
    batch = min(known, default=0) if wanted is None else wanted
    found = known.get(batch)
    if isinstance(found, LrInterval) and found.plateau.value is not None:
        return found
    return TooLittle(f"the baseline batch {batch} has no fitted plateau at these epochs")


def _finding(
    rows: Rows,
    interval: LrInterval,
    baseline: LrInterval | TooLittle,
    options: FitOptions,
    metric: str,
    effective: EffectiveLrs | None,
) -> LrFinding:
    eta = _one_value(rows, "trust_coefficient")
    ratio = _peak_ratio(rows)
    return LrFinding(
        interval=interval,
        metric=metric,
        peak=(
            TooLittle("the largest LR of the schedule is not recorded, or no fixed multiple of it")
            if ratio is None
            else interval.scaled(ratio)
        ),
        gamma_eta=(
            TooLittle("no trust coefficient: γη exists for LARS only")
            if eta is None
            else interval.scaled(eta)
        ),
        effective=_effective(interval, rows, effective),
        versus_baseline=_versus(rows, interval, baseline, options, metric),
        takeover=takeover(rows),
    )


def _one_value(rows: Rows, name: str) -> float | None:
    if name not in rows:
        return None
    values = rows.floats(name)
    return float(values[0]) if np.all(values == values[0]) and values[0] > 0 else None


def _peak_ratio(rows: Rows) -> float | None:
    """``lr_peak / base_lr`` where all rows agree on it: the schedule's shape does not hang on γ."""
    if "lr_peak" not in rows:
        return None
    ratio = rows.floats("lr_peak") / rows.floats("base_lr")
    agree = np.all(np.isfinite(ratio)) and np.ptp(ratio) <= 1e-9 * np.max(np.abs(ratio))
    return float(ratio[0]) if agree else None


def _versus(
    rows: Rows,
    interval: LrInterval,
    baseline: LrInterval | TooLittle,
    options: FitOptions,
    metric: str,
) -> BaselineInterval | Missing:
    if not options.keep_up or "lr-interval" not in options.kinds:
        return Refused("not asked for")
    if isinstance(baseline, TooLittle):
        return baseline
    usable = rows.where(rows.floats("base_lr") > 0)
    return attempt(
        lambda: against_baseline(usable, interval, baseline, metric=metric, paired=options.paired)
    )


def takeover(rows: Rows) -> Answer:
    """Nominal LR where P(diverge) passes 1/2, non-decreasing in the LR and nothing else.

    The interval holds every LR that the deviance of `takeover_deviance` does not exclude at 95 %:
    it ends at tested LRs, so it never claims more than the grid resolves.
    """
    if "base_lr" not in rows or not np.any(rows.status == "diverged"):
        return Answer(kind=Kind.CENSORED_HIGH, reason="no run diverged")
    table = cells(rows.where(rows.floats("base_lr") > 0), ("base_lr",), "accuracy")
    table = table.where(table.ok + table.diverged > 0)
    lrs, runs = table.keys["base_lr"], table.ok + table.diverged
    # A run that diverges below the best LR is no sign of the upper limit (as for the interval).
    best = int(np.nanargmax(table.mean)) if np.any(table.ok > 0) else 0
    diverged = np.where(np.arange(len(lrs)) >= best, table.diverged, 0.0)
    runs = np.where(np.arange(len(lrs)) >= best, runs, table.ok)
    allowed = np.flatnonzero(takeover_deviance(diverged, runs) <= _LIMIT)
    first, last = int(allowed[0]), int(allowed[-1])
    interval = Interval(
        low=float(lrs[first - 1]) if first > 0 else None,
        high=float(lrs[last]) if last < len(lrs) else None,
    )
    below = int(np.sum(isotonic(diverged, runs) < 0.5))
    if below == 0:
        reason = "half of the seeds diverge at the smallest LR tried"
        return Answer(kind=Kind.CENSORED_LOW, interval=interval, reason=reason)
    if below == len(lrs):
        reason = "fewer than half of the seeds diverge at the largest LR tried"
        return Answer(kind=Kind.CENSORED_HIGH, interval=interval, reason=reason)
    value = float(math.sqrt(lrs[below - 1] * lrs[below]))
    both = interval.low is not None and interval.high is not None
    return Answer(kind=Kind.BOUNDED if both else Kind.UNBOUNDED, value=value, interval=interval)


EffectiveLrs = dict[str, float]
"""Measured effective LR by trial."""


def effective_lrs(layers: Rows | None) -> EffectiveLrs | None:
    """Per trial: γλ averaged over its evaluation points, then the geometric mean over tensors.

    None without rows. All trials of a batch are evaluated at the same shares of one schedule, so
    that their averages compare.
    """
    if layers is None or not len(layers) or "effective_lr" not in layers:
        return None
    values = layers.floats("effective_lr")
    good = np.isfinite(values) & (values > 0)
    names, trial = codes(layers["trial_id"][good])
    tensors, tensor = codes(layers["layer"][good])
    size = len(names) * len(tensors)
    pair = trial * len(tensors) + tensor
    count = np.bincount(pair, minlength=size).reshape(len(names), len(tensors))
    total = np.bincount(pair, values[good], size).reshape(count.shape)
    known = count > 0
    logs = np.log(np.where(known, total / np.maximum(count, 1), 1.0))
    mean = logs.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return dict(zip(names, np.exp(mean).tolist(), strict=True))


def codes(column: Array) -> Codes:
    """Different values in order of appearance, and each row's index into them (n,)."""
    known: dict[str, int] = {}
    starts = np.flatnonzero(np.append(len(column) > 0, column[1:] != column[:-1]))  # of equal rows
    index = [known.setdefault(value, len(known)) for value in column[starts].tolist()]
    sizes = np.diff(starts, append=len(column))
    return list(known), np.repeat(np.array(index, dtype=np.intp), sizes)


def _effective(
    interval: LrInterval, rows: Rows, effective: EffectiveLrs | None
) -> EffectiveLr | TooLittle:
    if effective is None or "trial_id" not in rows:
        return TooLittle("no layer norms are recorded")
    measured = np.array([effective.get(trial, np.nan) for trial in rows["trial_id"].tolist()])
    known = (rows.status == "ok") & np.isfinite(measured)
    lrs = rows.floats("base_lr")
    points = sorted(
        (float(lr), float(np.mean(np.log(measured[known & (lrs == lr)]))))
        for lr in np.unique(lrs[known])
    )
    if len(points) < 2:
        return TooLittle(f"{count(len(points), 'LR')} with recorded layer norms, 2 needed")
    rising = np.maximum.accumulate([log for _, log in points])
    found = EffectiveLr(
        low=not_identified(""),
        high=not_identified(""),
        lrs=tuple(lr for lr, _ in points),
        effective=tuple(float(value) for value in np.exp(rising)),
    )
    low, high = _through(found, interval.low), _through(found, interval.high)
    return replace(found, low=low, high=high)


def _through(found: EffectiveLr, edge: Answer) -> Answer:
    """An edge in effective LR; a limit outside the measured LRs is not known there."""

    def end(lr: float | None) -> float | None:
        return None if lr is None else found.at(lr)

    if edge.value is None:
        return Answer(kind=edge.kind, reason=edge.reason)
    value = found.at(edge.value)
    if value is None:
        return not_identified("the edge lies outside the LRs whose norms are recorded")
    if edge.interval is None:
        return Answer(kind=edge.kind, value=value, reason=edge.reason)
    interval = Interval(low=end(edge.interval.low), high=end(edge.interval.high))
    both = interval.low is not None and interval.high is not None
    return Answer(kind=Kind.BOUNDED if both else Kind.UNBOUNDED, value=value, interval=interval)


def width_ratios(
    pairs: Iterable[tuple[Group, Group | TooLittle]], found: Iterable[Entry[LrFinding]]
) -> tuple[Entry[Answer], ...]:
    """Width of LARS's interval over SGD's, in octaves, wherever both were run alike."""
    known = {entry.key: entry for entry in found}
    ratios: list[Entry[Answer]] = []
    for lars, sgd in pairs:
        for key, entry in known.items():
            if key.group != lars.key:
                continue
            rival = known.get(key.of(sgd.key)) if isinstance(sgd, Group) else None
            if isinstance(sgd, Group) and rival is None:
                continue
            ratios.append(Entry(key=key, pooled=entry.pooled, result=_ratio(entry, rival, sgd)))
    return tuple(ratios)


def _ratio(
    entry: Entry[LrFinding], rival: Entry[LrFinding] | None, sgd: Group | TooLittle
) -> Answer | TooLittle:
    if isinstance(sgd, TooLittle):
        return sgd
    one, other = entry.found, None if rival is None else rival.found
    if one is None or other is None:
        return TooLittle("one of the two has no LR interval")
    ratio = width_ratio(one.interval, other.interval)
    return TooLittle(ratio.reason) if ratio.kind is Kind.NOT_IDENTIFIED else ratio
