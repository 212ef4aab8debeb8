"""Outcome rows → every fit that they allow, each under its key or with the reason for none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis.chosen import Chosen, choose
from lars_sweep.fit.analysis.curves_in_steps import (
    BatchFinding,
    Contrast,
    CriticalFinding,
    EpochsFinding,
    StepsFinding,
    batch_findings,
    contrasts,
    critical_finding,
    epochs_finding,
    steps_finding,
)
from lars_sweep.fit.analysis.entries import Entry, Key, T
from lars_sweep.fit.analysis.groups import Group, rivals, split
from lars_sweep.fit.analysis.learning_rates import (
    LrFinding,
    effective_lrs,
    lr_findings,
    width_ratios,
)
from lars_sweep.fit.analysis.losses import GapFinding, gap_findings
from lars_sweep.fit.analysis.norms import LayersFinding, layers_findings
from lars_sweep.fit.analysis.options import FitOptions
from lars_sweep.fit.analysis.scaling import LrScalingFinding, lr_scalings, pooled_scaling
from lars_sweep.fit.answers import Answer
from lars_sweep.fit.rows import Rows

MOST_KEPT_UP = 24
"""With more LR intervals than this none is fitted against the baseline's plateau: seconds each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Every fit that some outcomes allow; the order is that of the keys.

    A kind that was not asked for is empty. One that was asked for and cannot be answered has an
    entry that says why.
    """

    options: FitOptions
    counts: dict[str, int]
    """Rows by status, failed ones included though they are in no fit."""
    chosen: tuple[Entry[tuple[Chosen, ...]], ...]
    """The LRs chosen, per group: Tables 3 to 6."""
    lr_interval: tuple[Entry[LrFinding], ...]
    """Per group, batch and epochs."""
    width_ratio: tuple[Entry[Answer], ...]
    """LARS over SGD, per group, batch and epochs that both ran."""
    epochs: tuple[Entry[EpochsFinding], ...]
    """Per group."""
    batch: tuple[Entry[BatchFinding], ...]
    """Per group and epochs."""
    contrast: tuple[Entry[Contrast], ...]
    """LARS against SGD, per group, batch and epochs that both ran."""
    best_lr: tuple[Entry[LrScalingFinding], ...]
    """Per group and epochs."""
    best_lr_pooled: tuple[Entry[dict[str, float]], ...]
    """AICc of each form over several models; empty for one."""
    critical_batch: tuple[Entry[CriticalFinding], ...]
    """Per group."""
    gap: tuple[Entry[GapFinding], ...]
    """Per group and epochs."""
    layers: tuple[Entry[LayersFinding], ...]
    """Per group, batch and epochs."""


def analyse(
    outcomes: Rows,
    curves: Rows | None = None,
    layers: Rows | None = None,
    *,
    options: FitOptions | None = None,
) -> Analysis:
    """Fit everything that the rows allow; deterministic, whatever the order of the rows.

    Rows that differ in a condition that no fit models become groups of their own. Choices look at
    val, the reported accuracy is that of test (PROTOCOL.md 1).

    Args:
        outcomes: columns of the outcome table; at least model, global_batch, epochs, samples and
            accuracy.
        curves: curve rows with ``trial_id``, for the generalization gap.
        layers: layer rows with ``trial_id``, for norms and effective LRs.
        options: what the user states.

    Raises:
        OutcomeError: a column that every fit needs is missing.
    """
    options = options or FitOptions()
    wanted = set(options.kinds)
    groups = split(outcomes)
    chosen = {group.key: choose(group) for group in groups}
    rates: list[Entry[LrFinding]] = []
    if wanted & {"lr-interval", "best-lr", "batch"}:
        effective = effective_lrs(layers)
        count = sum(1 for group in groups for _ in group.rows.groups(("global_batch", "epochs")))
        if count > MOST_KEPT_UP:
            options = dataclasses.replace(options, keep_up=False)
        rates = [entry for group in groups for entry in lr_findings(group, options, effective)]
    steps: dict[Key, StepsFinding] = {}
    epochs: list[Entry[EpochsFinding]] = []
    batch: list[Entry[BatchFinding]] = []
    critical: list[Entry[CriticalFinding]] = []
    if wanted & {"epochs", "batch", "critical-batch"}:
        for group in groups:
            found = steps_finding(group, chosen[group.key], options)
            if not isinstance(found, StepsFinding):
                epochs.append(group.entry(found))
                batch.append(group.entry(found))
                critical.append(group.entry(found))
                continue
            steps[group.key] = found
            epochs.append(group.entry(epochs_finding(found)))
            batch += batch_findings(group, found, options)
            critical.append(group.entry(critical_finding(group, found)))

    scalings = [e for g in groups for e in lr_scalings(g, rates)] if "best-lr" in wanted else []

    def asked(kind: str, entries: Iterable[Entry[T]]) -> tuple[Entry[T], ...]:
        return tuple(entries) if kind in wanted else ()

    return Analysis(
        options=options,
        counts=_counts(outcomes),
        chosen=tuple(group.entry(chosen[group.key]) for group in groups),
        lr_interval=asked("lr-interval", rates),
        width_ratio=asked("lr-interval", width_ratios(rivals(groups), rates)),
        epochs=asked("epochs", epochs),
        batch=asked("batch", batch),
        contrast=asked("batch", _contrasts(groups, steps, rates, options)),
        best_lr=asked("best-lr", scalings),
        best_lr_pooled=asked("best-lr", pooled_scaling(scalings)),
        critical_batch=asked("critical-batch", critical),
        gap=asked(
            "gap",
            (e for g in groups for e in gap_findings(g, chosen[g.key], curves, options)),
        ),
        layers=asked(
            "layers", (e for g in groups for e in layers_findings(g, chosen[g.key], layers))
        ),
    )


def _counts(outcomes: Rows) -> dict[str, int]:
    statuses, counts = np.unique(outcomes.status.astype(str), return_counts=True)
    return dict(zip(statuses.tolist(), counts.tolist(), strict=True))


def _contrasts(
    groups: tuple[Group, ...],
    steps: dict[Key, StepsFinding],
    rates: list[Entry[LrFinding]],
    options: FitOptions,
) -> tuple[Entry[Contrast], ...]:
    brackets = {
        entry.key: entry.found.interval.low.value is not None
        and entry.found.interval.high.value is not None
        for entry in rates
        if entry.found is not None
    }
    return contrasts(rivals(groups), steps, lambda key: brackets.get(key, False), options)
