"""Outcomes beside the paper's tables: accuracy, loss against the small batch, LR, and protocol.

A published number is a single run whose noise nobody knows: 0.25 points are assumed (PROTOCOL.md
18), and every difference of protocol that the rows show stands beside the difference of results.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis import Analysis, Chosen, FitOptions, Key, LrFinding, Scalar, analyse
from lars_sweep.fit.analysis.groups import Group, split
from lars_sweep.fit.answers import Answer, Interval, Kind
from lars_sweep.fit.distributions import student_quantile
from lars_sweep.fit.rows import Rows
from lars_sweep.report.fit_records import Record
from lars_sweep.report.inputs import to_rows
from lars_sweep.report.published import NAME, published_outcomes

PUBLISHED_SIGMA = 0.25
"""Standard deviation assumed of a published single run, points."""

PROTOCOL: dict[str, Scalar] = {
    "dataset": "imagenet",
    "split": "paper",
    "momentum": 0.9,
    "momentum_form": "inside",
    "nesterov": False,
    "weight_decay": 0.0005,
    "trust_coefficient": 0.001,
    "lars_variant": "paper",
    "granularity": "layer",
    "exclusions": "none",
    "schedule": "poly",
    "power": 2.0,
    "poly_origin": "global",
    "bn_eval": "ema",
}
"""What the paper's text says of every run, and what its code did where the text is silent."""
_OF_LARS = ("trust_coefficient", "lars_variant", "granularity")
_WEIGHT_DECAY = {"googlenet": 0.0001}
_LARGEST_GHOST = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """One published row beside the runs of the same model, optimizer, batch and epochs."""

    key: Key
    """Of our group, with batch and epochs."""
    augmentation: str
    """Of the published row."""
    published: float
    """Accuracy, percent."""
    ours: Answer
    """Mean over seeds with its t interval."""
    delta: Answer
    """Ours minus published, points; the published run has `PUBLISHED_SIGMA`."""
    published_loss: float | None
    """Points lost against the published baseline batch; None for that batch itself."""
    our_loss: float | None
    """The same of ours, where that baseline batch was run too."""
    published_lr: float | None
    our_lr: float | None
    """Chosen."""
    published_lr_is: str
    """``in``, ``out`` or ``undecided`` of our LR interval; empty without one."""
    differences: tuple[str, ...]
    """Protocol, as in ``dataset digits (paper: imagenet)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All published rows that have a counterpart."""

    name: str
    rows: tuple[Beside, ...]
    reason: str
    """Why there are no rows; empty where there are."""


def compare_with_paper(analysis: Analysis, rows: Rows) -> Comparison:
    """Set outcomes beside the paper's tables.

    Args:
        analysis: of the rows; its chosen LRs are compared, and its LR intervals where it has them.
        rows: the outcomes, which say how they were made.
    """
    theirs = _published()
    found = [beside for group in split(rows) for beside in _group_beside(analysis, group, theirs)]
    reason = "" if found else _why_none(rows, theirs)
    return Comparison(name=NAME, rows=tuple(found), reason=reason)


@functools.cache
def _published() -> tuple[tuple[Group, tuple[Chosen, ...]], ...]:
    """The published groups and the best row of each batch and epochs."""
    rows = to_rows(published_outcomes())
    analysis = analyse(rows, options=FitOptions(kinds=()))
    chosen = {entry.key: entry.found or () for entry in analysis.chosen}
    return tuple((group, chosen[group.key]) for group in split(rows))


def _why_none(rows: Rows, theirs: tuple[tuple[Group, tuple[Chosen, ...]], ...]) -> str:
    models = sorted({str(model) for model in rows["model"].tolist()})
    known = sorted({str(group.key["model"]) for group, _ in theirs})
    if not set(models) & set(known):
        return f"the paper has no {', '.join(models)}; it has {', '.join(known)}"
    return "no batch and number of epochs of the paper was run to its end"


def _group_beside(
    analysis: Analysis, group: Group, theirs: tuple[tuple[Group, tuple[Chosen, ...]], ...]
) -> Iterator[Beside]:
    ours = next((e.found for e in analysis.chosen if e.key == group.key), None) or ()
    by_setting = {(one.global_batch, one.epochs): one for one in ours}
    for other, published in _counterparts(group, theirs):
        losses = _losses(published), _losses(ours)
        for row in published:
            one = by_setting.get((row.global_batch, row.epochs))
            if one is None:
                continue
            baseline, published_loss = losses[0][row.global_batch, row.epochs]
            mine = by_setting.get((baseline, row.epochs))
            key = Key(
                conditions=group.key.conditions, global_batch=row.global_batch, epochs=row.epochs
            )
            yield Beside(
                key=key,
                augmentation=str(other.conditions["augmentation"]),
                published=row.accuracy,
                ours=_mean(one),
                delta=_delta(one, row.accuracy),
                published_loss=published_loss,
                our_loss=None
                if mine is None or published_loss is None
                else mine.accuracy - one.accuracy,
                published_lr=row.lr,
                our_lr=one.lr,
                published_lr_is=_where(analysis, key, row.lr),
                differences=_differences(group, other, one, row),
            )


def _counterparts(
    group: Group, theirs: tuple[tuple[Group, tuple[Chosen, ...]], ...]
) -> list[tuple[Group, tuple[Chosen, ...]]]:
    """Published groups of the same model and optimizer, and of the same augmentation if any is."""
    alike = [
        (other, chosen)
        for other, chosen in theirs
        if other.key["model"] == group.key["model"]
        and group.key["optimizer"] in (other.key["optimizer"], None)
    ]
    own = group.conditions.get("augmentation")
    same = [pair for pair in alike if pair[0].conditions["augmentation"] == own]
    return same or alike


def _losses(
    chosen: tuple[Chosen, ...],
) -> dict[tuple[int, float], tuple[int, float | None]]:
    """Per (batch, epochs): the smallest batch at these epochs, and the points lost against it."""
    found: dict[tuple[int, float], tuple[int, float | None]] = {}
    for one in chosen:
        small = min(
            (other for other in chosen if other.epochs == one.epochs),
            key=lambda other: other.global_batch,
        )
        loss = None if small is one else small.accuracy - one.accuracy
        found[one.global_batch, one.epochs] = (small.global_batch, loss)
    return found


def _mean(one: Chosen) -> Answer:
    if one.sd is None or one.sd == 0:
        reason = "a single seed" if one.sd is None else "no spread over seeds"
        return Answer(kind=Kind.NO_SIGMA, value=one.accuracy, unit="%", reason=reason)
    half = student_quantile(0.975, one.seeds - 1) * one.sd / math.sqrt(one.seeds)
    interval = Interval(low=one.accuracy - half, high=one.accuracy + half)
    return Answer(kind=Kind.BOUNDED, value=one.accuracy, interval=interval, unit="%")


def _delta(one: Chosen, published: float) -> Answer:
    """Ours minus published; Satterthwaite's degrees of freedom, those of 0.25 being infinite."""
    value = one.accuracy - published
    if one.sd is None:
        return Answer(kind=Kind.NO_SIGMA, value=value, unit="points", reason="a single seed")
    own = one.sd**2 / one.seeds
    total = own + PUBLISHED_SIGMA**2
    nu = total**2 / (own**2 / (one.seeds - 1)) if own > 0 else math.inf
    quantile = student_quantile(0.975, nu)
    half = quantile * math.sqrt(total)
    reason = f"{PUBLISHED_SIGMA} points assumed for the published run"
    interval = Interval(low=value - half, high=value + half)
    return Answer(kind=Kind.BOUNDED, value=value, interval=interval, unit="points", reason=reason)


def _where(analysis: Analysis, key: Key, lr: float | None) -> str:
    """Where the published LR lies in our interval."""
    found = next((e.found for e in analysis.lr_interval if e.key == key), None)
    if not isinstance(found, LrFinding) or lr is None or found.interval.low.value is None:
        return ""
    inner, outer = found.interval.inner, found.interval.outer
    if inner is not None and lr in inner:
        return "in"
    return "undecided" if lr in outer else "out"


def _differences(group: Group, other: Group, one: Chosen, row: Chosen) -> tuple[str, ...]:
    """What differs between our rows and what the paper did; what our rows do not record, last."""
    model = str(other.key["model"])
    wanted = PROTOCOL | {"augmentation": other.conditions["augmentation"]}
    wanted["weight_decay"] = _WEIGHT_DECAY.get(model, wanted["weight_decay"])
    wanted["samples"] = int(other.rows["samples"][0])
    if other.key["optimizer"] != "lars":
        wanted = {name: value for name, value in wanted.items() if name not in _OF_LARS}
    here = group.rows.where(group.rows.floats("global_batch") == one.global_batch)
    told, unknown = [], []
    for name, value in wanted.items():
        own = _only(here, name)
        if own is None:
            unknown.append(name)
        elif own != value:
            told.append(f"{name} {own} (paper: {value})")
    ghost, inferred = _only(here, "bn_batch"), min(one.global_batch // 8, _LARGEST_GHOST)
    if ghost is not None and ghost != inferred:
        told.append(f"bn_batch {ghost} (paper, inferred: {inferred})")
    if row.warmup_epochs is not None and one.warmup_epochs is not None:
        # Steps are whole, so that a warm-up is met to half a step only.
        step = 0.5 * one.global_batch / float(here.floats("samples")[0])
        if abs(one.warmup_epochs - row.warmup_epochs) > step:
            told.append(f"warmup_epochs {one.warmup_epochs:g} (paper: {row.warmup_epochs:g})")
    if one.seeds > 1:
        told.append(f"{one.seeds} seeds (paper: 1)")
    return (*told, f"not recorded: {', '.join(unknown)}") if unknown else tuple(told)


def _only(rows: Rows, name: str) -> Scalar:
    """The one value of a column, None where it is absent or differs."""
    values = set(rows[name].tolist()) if name in rows else set()
    value: Scalar = next(iter(values)) if len(values) == 1 else None
    return None if isinstance(value, float) and np.isnan(value) else value


def comparison_record(row: Beside) -> Record:
    """One published row as columns."""
    return {
        **dict(row.key.conditions),
        "augmentation": row.augmentation,
        "global_batch": row.key.global_batch,
        "epochs": row.key.epochs,
        "published": row.published,
        "ours": row.ours,
        "ours_minus_published": row.delta,
        "published_loss": row.published_loss,
        "our_loss": row.our_loss,
        "published_lr": row.published_lr,
        "our_lr": row.our_lr,
        "published_lr_is": row.published_lr_is,
        "note": "; ".join(row.differences),
    }
