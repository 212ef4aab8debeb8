"""Every fit as flat records: what CSV files hold at full precision and the terminal in short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis import (
    Analysis,
    BatchFinding,
    Chosen,
    Contrast,
    CriticalFinding,
    Entry,
    EpochsFinding,
    GapFinding,
    LayersFinding,
    LrFinding,
    LrScalingFinding,
    Refused,
    TooLittle,
)
from lars_sweep.fit.analysis.entries import T
from lars_sweep.fit.answers import Answer, Interval
from lars_sweep.fit.best_lr import LrScaling
from lars_sweep.fit.critical_batch import CriticalBatch
from lars_sweep.fit.lr_interval import LrInterval
from lars_sweep.fit.rows import CONDITIONS
from lars_sweep.fit.steps import StepsFit

Value = str | int | float | bool | None | Answer | Interval
Record = Mapping[str, Value]
"""Column → value; an answer becomes several columns of a CSV file and one cell elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitTable:
    """All records of one part of an analysis."""

    name: str
    """Stem of its file."""
    kind: str
    """The question that it answers, as ``--kind`` names it; ``chosen`` for what all rest on."""
    title: str
    records: tuple[Record, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns: the key's first, then in order of appearance, the note last."""
        names = list(dict.fromkeys(name for record in self.records for name in record))
        return tuple(sorted(names, key=_rank))


def _rank(name: str) -> int:
    if name in CONDITIONS and name != "warmup_epochs":
        return 1 if name in ("global_batch", "epochs") else 0
    return 3 if name == "note" else 2


def fit_tables(analysis: Analysis) -> tuple[FitTable, ...]:
    """The tables of what an analysis holds; one without records is left out."""
    made = (
        FitTable(name=name, kind=kind, title=title, records=tuple(records(analysis)))
        for name, kind, title, records in _TABLES
    )
    return tuple(table for table in made if table.records)


def _each(
    entries: Iterable[Entry[T]], records: Callable[[T], Iterable[Record]], *, missing: bool = True
) -> Iterator[Record]:
    """Key columns, then those of each record; a note alone where there is no result.

    Without ``missing`` such entries are left out: another table of the same question has them.
    """
    for entry in entries:
        key: dict[str, Value] = dict(entry.key.conditions)
        if entry.key.global_batch is not None:
            key["global_batch"] = entry.key.global_batch
        if entry.key.epochs is not None:
            key["epochs"] = entry.key.epochs
        found = entry.found
        if found is None and missing:
            yield {**key, "note": getattr(entry.result, "reason", "")}
        for record in records(found) if found is not None else ():
            yield {**key, **record}


def _chosen(rows: tuple[Chosen, ...]) -> Iterator[Record]:
    for row in rows:
        yield {
            "global_batch": row.global_batch,
            "epochs": row.epochs,
            "steps": row.steps,
            "base_lr": row.lr,
            "lr_peak": row.lr_peak,
            "warmup_epochs": row.warmup_epochs,
            "lrs": row.lrs,
            "at_edge": row.at_edge,
            "seeds": row.seeds,
            "diverged": row.diverged,
            "accuracy": row.accuracy,
            "sd": row.sd,
        }


def _lr_interval(finding: LrFinding) -> Iterator[Record]:
    found = finding.interval
    yield {
        "delta": found.delta,
        "metric": finding.metric,
        "low": found.low,
        "high": found.high,
        "inner": found.inner,
        "outer": found.outer,
        "plateau": found.plateau,
        "sigma": found.sigma,
        "sigma_source": found.sigma_source,
        "takeover": finding.takeover,
        "sensitivity": found.sensitivity,
        "add": " ".join(f"{lr:.6g}" for lr in found.add),
        "note": found.low.reason or found.high.reason,
    }


def _in_other_units(finding: LrFinding) -> Iterator[Record]:
    for unit, interval in (("lr_peak", finding.peak), ("gamma_eta", finding.gamma_eta)):
        if isinstance(interval, LrInterval):
            yield {"unit": unit, "low": interval.low, "high": interval.high, "note": ""}
        else:
            yield {"unit": unit, "note": interval.reason}
    for unit, other in (
        ("effective_lr", finding.effective),
        ("base_lr, against the baseline's plateau", finding.versus_baseline),
    ):
        if isinstance(other, (TooLittle, Refused)):
            yield {"unit": unit, "note": other.reason}
        else:
            yield {"unit": unit, "low": other.low, "high": other.high, "note": other.low.reason}


def _verdicts(finding: LrFinding) -> Iterator[Record]:
    for at in finding.interval.verdicts:
        yield {
            "lr": at.lr,
            "accuracy": at.accuracy,
            "ok": at.ok,
            "diverged": at.diverged.diverged,
            "pruned": at.pruned,
            "verdict": at.verdict,
            "behind_best": at.gap,
            "p_diverge": at.diverged.probability,
            "p_diverge_low": at.diverged.lower,
            "p_diverge_high": at.diverged.upper,
        }


def _ratio(ratio: Answer) -> Iterator[Record]:
    yield {"ratio": ratio, "note": ratio.reason}


def _epochs(finding: EpochsFinding) -> Iterator[Record]:
    for at in finding.answers:
        yield {
            "global_batch": at.batch,
            "target": finding.steps.target.value,
            "target_source": finding.steps.target.source,
            "epochs_to_target": at.epochs,
            "answer": at.epochs.kind.value,
            "note": at.epochs.reason,
        }


def _forms(finding: EpochsFinding | BatchFinding) -> Iterator[Record]:
    """One record per form of the steps curve (fit-methods, section 5)."""
    steps = finding.steps
    if not isinstance(steps.fit, StepsFit):
        yield {"note": steps.fit.reason}
        return
    averaged, noise = steps.fit.averaged, steps.fit.averaged.noise
    for index, curve in enumerate(averaged.fits):
        yield {
            "form": curve.form.name,
            "k": curve.k,
            "cells": len(steps.cells),
            "seeds": float(np.sum(steps.cells.weight)),
            "sigma": None if noise is None else float(np.sqrt(noise.variance)),
            "sigma_source": "none" if noise is None else noise.source,
            "parameters": " ".join(f"{n}={v!r}" for n, v in curve.parameters.items()),
            "rss": curve.rss,
            "aicc": averaged.aicc(index),
            "weight": float(averaged.weights[index]),
            "at_bound": " ".join(curve.at_bound),
            "leave_one_out": steps.fit.held_out.leave_one_out,
            "held_out": steps.fit.held_out.last,
            "persistence": steps.fit.held_out.persistence,
        }


def _batch(finding: BatchFinding) -> Iterator[Record]:
    yield {
        "batch_losing_delta": finding.losing,
        "next_batch": finding.next_batch,
        "next_accuracy": finding.next_accuracy,
        "note": finding.losing.reason,
    }


def _losses(finding: BatchFinding) -> Iterator[Record]:
    for at in finding.losses:
        yield {
            "global_batch": at.batch,
            "accuracy": at.accuracy,
            "loss": at.loss,
            "note": at.loss.reason,
        }


def _contrast(contrast: Contrast) -> Iterator[Record]:
    yield {
        "baseline": contrast.baseline,
        "lars_minus_sgd": contrast.lars_minus_sgd,
        "note": contrast.lars_minus_sgd.reason,
    }


def _scalings(finding: LrScalingFinding) -> Iterator[tuple[str, LrScaling | str]]:
    for on, scaling in (
        ("lr_peak", finding.peak),
        ("base_lr", finding.nominal),
        ("effective_lr", finding.effective),
    ):
        yield on, scaling if isinstance(scaling, LrScaling) else scaling.reason


def _best_lr(finding: LrScalingFinding) -> Iterator[Record]:
    for on, scaling in _scalings(finding):
        if isinstance(scaling, str):
            yield {"on": on, "note": scaling}
            continue
        yield {
            "on": on,
            "source": finding.source,
            "batches": len(scaling.points.batch),
            "alpha": scaling.alpha,
            "B0": scaling.saturation_batch,
            **{test.name.replace(" ", "_"): test.conclusion for test in scaling.hypotheses},
            "best_form": scaling.best_form,
            "note": scaling.alpha.reason,
        }


def _lr_forms(finding: LrScalingFinding) -> Iterator[Record]:
    for on, scaling in _scalings(finding):
        if isinstance(scaling, str):
            continue
        for score in scaling.forms:
            yield {
                "on": on,
                "form": score.fit.form.name,
                "k": score.fit.k,
                "parameters": " ".join(f"{n}={v!r}" for n, v in score.fit.parameters.items()),
                "rss": score.fit.rss,
                "aicc": score.aicc,
                "last_ratio": score.last_ratio,
                "at_bound": " ".join(score.fit.at_bound),
            }


def _pooled(criteria: Mapping[str, float]) -> Iterator[Record]:
    for form, aicc in sorted(criteria.items(), key=lambda item: item[1]):
        yield {"form": form, "aicc": aicc}


def _critical(finding: CriticalFinding) -> Iterator[Record]:
    target: dict[str, Value] = {
        "target": finding.target.value,
        "target_source": finding.target.source,
    }
    fit = finding.fit
    if not isinstance(fit, CriticalBatch):
        yield {**target, "note": fit.reason}
        return
    yield {
        **target,
        "B_half": fit.half,
        "alpha": fit.alpha,
        "overhead_20": fit.overhead,
        "mccandlish": fit.mccandlish,
        "note": fit.half.reason,
    }


def _clock(finding: CriticalFinding) -> Iterator[Record]:
    ups = (None, *finding.speed_ups)
    for at, up in zip(finding.clock, ups, strict=False):
        yield {
            "global_batch": at.batch,
            "devices": at.devices,
            "step_s": at.step_s,
            "hours": at.hours,
            "hours_low": at.low,
            "hours_high": at.high,
            "fastest_is_faster_by": up,
            "note": finding.clock_note,
        }


def _gap(finding: GapFinding) -> Iterator[Record]:
    matched = {one.batch: one.difference for one in finding.matched}
    for one in finding.comparisons:
        yield {
            "global_batch": int(one.batch),
            "seeds": one.seeds,
            "gap": one.gap,
            "difference": one.difference,
            "margin": one.margin,
            "equivalence_p": one.equivalence_p,
            "power": one.power,
            "exploratory": one.exploratory,
            "conclusion": one.conclusion,
            "at_equal_train_loss": matched.get(int(one.batch)),
            "note": one.difference.reason,
        }


def _layers(finding: LayersFinding) -> Iterator[Record]:
    for one in finding.ratios:
        yield {
            "step": finding.step,
            "layer": one.layer,
            "weight_norm": one.weight_norm,
            "gradient_norm": one.gradient_norm,
            "ratio": one.ratio,
            "trials": one.trials,
        }


def _edges(finding: LayersFinding) -> Iterator[Record]:
    yield {
        "predicted": finding.predicted,
        "measured": finding.measured,
        "measured_over_predicted": finding.agreement,
        "note": finding.agreement.reason or finding.predicted.reason,
    }


def _steps_of(analysis: Analysis) -> Iterator[Record]:
    """The forms once per group, whichever question had them fitted."""
    yield from _each(analysis.epochs, _forms, missing=False)
    told = {entry.key.group for entry in analysis.epochs}
    for entry in analysis.batch:
        if entry.key.group not in told:
            told.add(entry.key.group)
            yield from _each([entry], _forms, missing=False)


_TABLES: tuple[tuple[str, str, str, Callable[[Analysis], Iterable[Record]]], ...] = (
    ("chosen-lr", "chosen", "Accuracy at the chosen LR", lambda a: _each(a.chosen, _chosen)),
    (
        "lr-interval",
        "lr-interval",
        "Good learning rates",
        lambda a: _each(a.lr_interval, _lr_interval),
    ),
    (
        "lr-units",
        "lr-interval",
        "The same in other units of LR",
        lambda a: _each(a.lr_interval, _in_other_units, missing=False),
    ),
    (
        "lr-verdicts",
        "lr-interval",
        "Verdict on each LR",
        lambda a: _each(a.lr_interval, _verdicts, missing=False),
    ),
    (
        "lr-width-ratio",
        "lr-interval",
        "Width of LARS's interval over SGD's, in octaves",
        lambda a: _each(a.width_ratio, _ratio),
    ),
    (
        "epochs-to-target",
        "epochs",
        "Epochs that hold the target",
        lambda a: _each(a.epochs, _epochs),
    ),
    ("steps-forms", "epochs", "Forms of accuracy against steps", _steps_of),
    (
        "batch-losing-delta",
        "batch",
        "Where accuracy falls with the batch",
        lambda a: _each(a.batch, _batch),
    ),
    (
        "batch-losses",
        "batch",
        "Points lost against the baseline batch",
        lambda a: _each(a.batch, _losses, missing=False),
    ),
    (
        "lars-against-sgd",
        "batch",
        "Change from the baseline batch, LARS minus SGD, points",
        lambda a: _each(a.contrast, _contrast),
    ),
    ("best-lr", "best-lr", "Best LR against the batch", lambda a: _each(a.best_lr, _best_lr)),
    (
        "best-lr-forms",
        "best-lr",
        "Forms of the best LR against the batch",
        lambda a: _each(a.best_lr, _lr_forms, missing=False),
    ),
    (
        "best-lr-pooled",
        "best-lr",
        "The same over all models, each with parameters of its own: the lower the better",
        lambda a: _each(a.best_lr_pooled, _pooled),
    ),
    (
        "critical-batch",
        "critical-batch",
        "Where bigger batches stop paying in steps",
        lambda a: _each(a.critical_batch, _critical),
    ),
    (
        "wall-clock",
        "critical-batch",
        "Hours to the target",
        lambda a: _each(a.critical_batch, _clock, missing=False),
    ),
    (
        "generalization-gap",
        "gap",
        "Generalization gap against the smallest batch, nats",
        lambda a: _each(a.gap, _gap),
    ),
    (
        "layer-norms",
        "layers",
        "Norms at the first evaluation point",
        lambda a: _each(a.layers, _layers, missing=False),
    ),
    (
        "divergence-edge",
        "layers",
        "LR at which the first layer breaks",
        lambda a: _each(a.layers, _edges),
    ),
)
