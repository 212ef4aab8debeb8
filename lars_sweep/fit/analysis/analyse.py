"""Outcome rows → every fit that they allow, each under its key or with the reason for none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np

from lars_sweep.fit.analysis.chosen import Chosen, choose
from lars_sweep.fit.analysis.contrasts import Contrast, contrasts
from lars_sweep.fit.analysis.critical import CriticalFinding
from lars_sweep.fit.analysis.curves_in_steps import BatchFinding, EpochsFinding
from lars_sweep.fit.analysis.entries import Entry
from lars_sweep.fit.analysis.groups import rivals, split
from lars_sweep.fit.analysis.learning_rates import (
    EffectiveLrs,
    LrFinding,
    effective_lrs,
    width_ratios,
)
from lars_sweep.fit.analysis.losses import GapFinding
from lars_sweep.fit.analysis.noise import NoiseFinding
from lars_sweep.fit.analysis.norms import LayersFinding
from lars_sweep.fit.analysis.of_group import (
    Mapper,
    group_findings,
    rows_of_group,
    trials_of,
)
from lars_sweep.fit.analysis.options import FitOptions
from lars_sweep.fit.analysis.scaling import LrScalingFinding, pooled_scaling
from lars_sweep.fit.answers import Answer
from lars_sweep.fit.rows import Rows

T = TypeVar("T")


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
    noise_scale: tuple[Entry[NoiseFinding], ...]
    """Per group, batch and epochs where it was measured."""
    gap: tuple[Entry[GapFinding], ...]
    """Per group and epochs."""
    layers: tuple[Entry[LayersFinding], ...]
    """Per group, batch and epochs."""


def analyse(
    outcomes: Rows,
    curves: Rows | None = None,
    layers: Rows | None = None,
    *,
    noise: Rows | None = None,
    options: FitOptions | None = None,
    effective: EffectiveLrs | None = None,
    mapper: Mapper = map,
) -> Analysis:
    """Fit everything that the rows allow; deterministic, whatever the order of the rows.

    Rows that differ in a condition that no fit models become groups of their own. Choices look at
    val, the reported accuracy is that of test (PROTOCOL.md 1).

    Args:
        outcomes: columns of the outcome table; at least model, global_batch, epochs, samples and
            accuracy.
        curves: curve rows with ``trial_id``, for the generalization gap; those of `chosen_trials`
            are enough.
        layers: layer rows with ``trial_id``, for norms and effective LRs; with ``effective`` those
            of `chosen_trials` are enough.
        noise: rows of the noise scale's measurements with ``trial_id``, as ``layers``.
        options: what the user states.
        effective: effective LR of every trial; None: from ``layers``.
        mapper: fits parts of the groups, one by one or at the same time.

    Raises:
        OutcomeError: a column that every fit needs is missing.
    """
    options = options or FitOptions()
    wanted = set(options.kinds)
    groups = split(outcomes)
    if effective is None:
        effective = effective_lrs(layers)
        layers = layers if layers is not None and len(layers) else None
    given = [rows_of_group(group, curves, layers, noise, effective, options) for group in groups]
    found = dict(zip([group.key for group in groups], group_findings(given, mapper), strict=True))
    every = found.values()
    rates = _all(one.lr_interval for one in every)
    best_lr = _all(one.best_lr for one in every)
    pairs = list(rivals(groups))
    steps = {key: one.steps for key, one in found.items() if one.steps is not None}
    bracketed = {
        entry.key
        for entry in rates
        if entry.found is not None
        and entry.found.interval.low.value is not None
        and entry.found.interval.high.value is not None
    }
    return Analysis(
        options=options,
        counts=_counts(outcomes),
        chosen=tuple(one.group.entry(one.chosen) for one in given),
        lr_interval=rates if "lr-interval" in wanted else (),
        width_ratio=tuple(width_ratios(pairs, rates)) if "lr-interval" in wanted else (),
        epochs=_all(one.epochs for one in every),
        batch=_all(one.batch for one in every),
        contrast=contrasts(pairs, steps, bracketed, options) if "batch" in wanted else (),
        best_lr=best_lr,
        best_lr_pooled=pooled_scaling(best_lr),
        critical_batch=_all(one.critical_batch for one in every),
        noise_scale=_all(one.noise_scale for one in every),
        gap=_all(one.gap for one in every),
        layers=_all(one.layers for one in every),
    )


def chosen_trials(outcomes: Rows) -> set[str]:
    """Trials at the LRs that `analyse` will choose: whose curves and norms it reads."""
    found: set[str] = set()
    for group in split(outcomes):
        found |= trials_of(group, choose(group))
    return found


def _all(parts: Iterable[tuple[T, ...]]) -> tuple[T, ...]:
    return tuple(chain.from_iterable(parts))


def _counts(outcomes: Rows) -> dict[str, int]:
    statuses, counts = np.unique(outcomes.status.astype(str), return_counts=True)
    return dict(zip(statuses.tolist(), counts.tolist(), strict=True))
