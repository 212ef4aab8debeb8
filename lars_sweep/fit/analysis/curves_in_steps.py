"""Accuracy against steps of every group, and what it says of epochs and batch."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis.entries import Entry, Missing, TooLittle, attempt
from lars_sweep.fit.analysis.groups import Group, report_metric
from lars_sweep.fit.analysis.options import FitOptions
from lars_sweep.fit.answers import Answer, Interval, Kind, not_identified
from lars_sweep.fit.distributions import student_quantile
from lars_sweep.fit.engine import Noise
from lars_sweep.fit.predict import accuracy_at
from lars_sweep.fit.same_steps import Collapse, collapse_of
from lars_sweep.fit.steps import (
    MINIMUM_CELLS,
    StepsFit,
    batch_losing,
    epochs_to_target,
    fit_cells,
)
from lars_sweep.fit.tuned import Tuned, tuned
from lars_sweep.nouns import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The accuracy to reach."""

    value: float
    """Percent."""
    se: float
    """Standard error; 0 for a stated constant or where no sigma is known."""
    source: str
    """As in ``stated`` or ``batch 256 at 100 epochs``."""
    batch: int | None
    """The baseline batch, None for a stated constant."""
    epochs: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsFinding:
    """Tuned accuracies of a group, their curve, and the target that its answers are about."""

    metric: str
    """The accuracy that is reported."""
    cells: Tuned
    noise: Noise | None
    """Of one seed, from replicates or the user; None: the curve's own residuals."""
    fit: StepsFit | TooLittle
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochsAt:
    """Epochs that one batch needs for the target."""

    batch: int
    epochs: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochsFinding:
    """How many epochs hold the target, per batch that was run."""

    steps: StepsFinding
    answers: tuple[EpochsAt, ...]
    collapse: Collapse | Answer
    """Whether batch and epochs act through their ratio alone, which the curve takes for granted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFinding:
    """How accuracy falls with the batch at fixed epochs."""

    steps: StepsFinding
    losing: Answer
    """Largest batch that stays within delta of the curve's end."""
    next_batch: float
    """Twice the largest batch run."""
    next_accuracy: Answer
    """Predicted there: one octave outside the data, never more."""
    losses: tuple[LossAt, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossAt:
    """Accuracy of a batch minus that of the baseline at the same epochs, without any curve."""

    batch: int
    accuracy: float
    loss: Answer
    """Points; positive: worse than the baseline."""


def steps_finding(group: Group, options: FitOptions) -> StepsFinding | Missing:
    """Tuned cells and their curve; TooLittle where no cell finished.

    Args:
        group: rows of one model and optimizer.
        options: sigma, delta, target and baseline.
    """
    metric = report_metric(group.rows)

    def make() -> StepsFinding | TooLittle:
        table, noise = tuned(
            group.rows,
            metric=metric,
            sigma=options.sigma,
            delta=options.delta,
            pool=group.pooled,
        )
        if not len(table):
            return TooLittle("no run finished")
        target = _target(table, noise, options)
        fit: StepsFit | TooLittle = TooLittle(
            f"{count(len(table), 'combination')} of batch and epochs finished, "
            f"{MINIMUM_CELLS} needed"
        )
        if len(table) >= MINIMUM_CELLS:
            fit = fit_cells(table, float(group.rows.floats("samples")[0]), noise, chance=0.0)
        return StepsFinding(metric=metric, cells=table, noise=noise, fit=fit, target=target)

    return attempt(make)


def common_epochs(table: Tuned) -> float:
    """The number of epochs at which most batches were run; the smaller of equals."""
    counts = Counter(table.epochs.tolist())
    return float(min(counts, key=lambda epochs: (-counts[epochs], epochs)))


def _target(table: Tuned, noise: Noise | None, options: FitOptions) -> Target:
    """The stated target, or what the baseline batch reaches (PROTOCOL.md 15).

    It is estimated as the accuracies are that the curve goes through: the mean at the chosen LR
    has another bias than a flat top's height, which near the end of the curve is worth many epochs.
    """
    if options.target is not None:
        return Target(value=options.target, se=0.0, source="stated", batch=None, epochs=None)
    batch = table.batch.min() if options.baseline is None else float(options.baseline)
    at = np.flatnonzero(table.batch == batch)
    if not len(at):
        at = np.flatnonzero(table.batch == table.batch.min())
    wanted = common_epochs(table)
    index = int(min(at, key=lambda i: (table.epochs[i] != wanted, table.epochs[i])))
    here = (int(table.batch[index]), float(table.epochs[index]))
    # A fitted plateau may lie above 100 %.
    value, seeds = min(float(table.accuracy[index]), 100.0), float(table.weight[index])
    return Target(
        value=value,
        se=0.0 if noise is None else float(np.sqrt(noise.variance / seeds)),
        source=f"batch {here[0]} at {count(here[1], 'epoch')}",
        batch=here[0],
        epochs=here[1],
    )


def epochs_finding(steps: StepsFinding) -> EpochsFinding | TooLittle:
    """Epochs to the target at every batch."""
    fit = steps.fit
    if isinstance(fit, TooLittle):
        return fit
    return EpochsFinding(
        steps=steps,
        answers=tuple(
            EpochsAt(batch=int(batch), epochs=_epochs_of(steps, fit, float(batch)))
            for batch in np.unique(steps.cells.batch)
        ),
        collapse=collapse_of(steps.cells, steps.noise),
    )


def _epochs_of(steps: StepsFinding, fit: StepsFit, batch: float) -> Answer:
    """Epochs to the target by the curve, no more than those that the batch's own runs show.

    The batch that defines the target reaches it by definition, at its own epochs or before. Any
    other reaches it where a cell of it lies above the target, at 99.5 % over all its cells
    (Bonferroni): what that adds to the 2.5 % by which the curve's upper limit may fail is small.
    """
    target, cells = steps.target, steps.cells
    answer = epochs_to_target(fit, target.value, batch, target_se=target.se)
    if target.batch == batch and target.epochs is not None:
        answer = dataclasses.replace(answer, value=target.epochs)
        return _at_most(answer, target.epochs, "the target is its own accuracy there")
    noise = steps.noise or fit.averaged.noise
    mine = np.flatnonzero(cells.batch == batch)
    if noise is None:
        return answer
    sure = 1.0 - 0.005 / len(mine)
    quantile = student_quantile(sure, noise.nu)
    shared = cells.shared_se if target.batch is None else 0.0
    error = np.sqrt(noise.variance / cells.weight[mine] + target.se**2 + shared**2)
    shown = mine[cells.accuracy[mine] - target.value > quantile * error]
    if not len(shown):
        return answer
    return _at_most(answer, float(cells.epochs[shown].min()), "its own runs there lie above it")


def _at_most(answer: Answer, epochs: float, reason: str) -> Answer:
    """An answer about epochs that are not more than ``epochs``; one without sigma stays that."""
    if answer.kind is Kind.NO_SIGMA:
        return answer
    own = answer.interval or Interval(low=None, high=None)
    low = None if own.low is None else min(own.low, epochs)
    high = epochs if own.high is None else min(own.high, epochs)
    return Answer(
        kind=Kind.REACHED,
        value=epochs if answer.value is None else min(answer.value, epochs),
        interval=Interval(low=low, high=high),
        unit=answer.unit,
        reason=reason,
    )


def batch_findings(
    group: Group, steps: StepsFinding, options: FitOptions
) -> tuple[Entry[BatchFinding], ...]:
    """One entry per number of epochs with two batches or more; else one that says why not."""
    cells = steps.cells
    entries = []
    for epochs in np.unique(cells.epochs).tolist():
        batches = cells.batch[cells.epochs == epochs]
        if len(batches) < 2:
            continue
        double = 2.0 * float(batches.max())
        if isinstance(steps.fit, TooLittle):
            losing = not_identified(steps.fit.reason, "samples")
            doubled = not_identified(steps.fit.reason, "%")
        else:
            losing = batch_losing(steps.fit, options.delta, epochs)
            doubled = accuracy_at(steps.fit, double, epochs)
        finding = BatchFinding(
            steps=steps,
            losing=losing,
            next_batch=double,
            next_accuracy=doubled,
            losses=_losses(steps, epochs, options.baseline),
        )
        entries.append(group.entry(finding, epochs=epochs))
    if entries:
        return tuple(entries)
    return (group.entry(TooLittle("no two batches finished at the same number of epochs")),)


def _losses(steps: StepsFinding, epochs: float, baseline: int | None) -> tuple[LossAt, ...]:
    """Every batch against the baseline batch at the same epochs."""
    cells = steps.cells
    here = np.flatnonzero(cells.epochs == epochs)
    wanted = cells.batch[here].min() if baseline is None else float(baseline)
    reference = here[cells.batch[here] == wanted]
    found = []
    for i in here:
        if not len(reference):
            loss = not_identified(f"the baseline batch {wanted:.0f} has no run here", "points")
        elif i == reference[0]:
            continue
        else:
            j = reference[0]
            shares = 1.0 / cells.weight[i] + 1.0 / cells.weight[j]
            loss = difference(cells.accuracy[j] - cells.accuracy[i], shares, steps.noise)
        found.append(
            LossAt(batch=int(cells.batch[i]), accuracy=float(cells.accuracy[i]), loss=loss)
        )
    return tuple(found)


def difference(value: float, shares: float, noise: Noise | None) -> Answer:
    """A sum of means with the variance of one seed times ``shares``, in points; t interval."""
    if noise is None:
        reason = "neither replicate seeds nor a stated sigma"
        return Answer(kind=Kind.NO_SIGMA, value=float(value), unit="points", reason=reason)
    quantile = student_quantile(0.975, noise.nu)
    half = float(quantile * np.sqrt(noise.variance * shares))
    interval = Interval(low=float(value) - half, high=float(value) + half)
    return Answer(kind=Kind.BOUNDED, value=float(value), interval=interval, unit="points")
