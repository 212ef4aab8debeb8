"""What was found of each question as flat records: column → value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from lars_sweep.fit.analysis import (
    BatchFinding,
    Chosen,
    Contrast,
    CriticalFinding,
    EpochsFinding,
    GapFinding,
    LayersFinding,
    LrFinding,
    LrScalingFinding,
    NoiseFinding,
    Refused,
    TooLittle,
)
from lars_sweep.fit.answers import Answer, Interval
from lars_sweep.fit.best_lr import LrScaling
from lars_sweep.fit.critical_batch import CriticalBatch
from lars_sweep.fit.lr_interval import LrInterval
from lars_sweep.fit.steps import StepsFit

Value = str | int | float | bool | None | Answer | Interval
Record = Mapping[str, Value]
"""Column → value; an answer becomes several columns of a CSV file and one cell elsewhere."""


def chosen_records(rows: tuple[Chosen, ...]) -> Iterator[Record]:
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


def lr_interval_records(finding: LrFinding) -> Iterator[Record]:
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
        "note": found.sigma_note or found.low.reason or found.high.reason,
    }


def in_other_units_records(finding: LrFinding) -> Iterator[Record]:
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


def verdicts_records(finding: LrFinding) -> Iterator[Record]:
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


def ratio_records(ratio: Answer) -> Iterator[Record]:
    yield {"ratio": ratio, "note": ratio.reason}


def epochs_records(finding: EpochsFinding) -> Iterator[Record]:
    for at in finding.answers:
        yield {
            "global_batch": at.batch,
            "target": finding.steps.target.value,
            "target_source": finding.steps.target.source,
            "epochs_to_target": at.epochs,
            "answer": at.epochs.kind.value,
            "note": at.epochs.reason,
        }


def forms_records(finding: EpochsFinding | BatchFinding) -> Iterator[Record]:
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
            "aicc": curve.aicc,
            "weight": float(averaged.weights[index]),
            "at_bound": " ".join(curve.at_bound),
            "leave_one_out": steps.fit.held_out.leave_one_out,
            "held_out": steps.fit.held_out.last,
            "persistence": steps.fit.held_out.persistence,
        }


def batch_records(finding: BatchFinding) -> Iterator[Record]:
    yield {
        "batch_losing_delta": finding.losing,
        "next_batch": finding.next_batch,
        "next_accuracy": finding.next_accuracy,
        "note": finding.losing.reason,
    }


def losses_records(finding: BatchFinding) -> Iterator[Record]:
    for at in finding.losses:
        yield {
            "global_batch": at.batch,
            "accuracy": at.accuracy,
            "loss": at.loss,
            "note": at.loss.reason,
        }


def contrast_records(contrast: Contrast) -> Iterator[Record]:
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


def best_lr_records(finding: LrScalingFinding) -> Iterator[Record]:
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


def lr_forms_records(finding: LrScalingFinding) -> Iterator[Record]:
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


def pooled_records(criteria: Mapping[str, float]) -> Iterator[Record]:
    for form, aicc in sorted(criteria.items(), key=lambda item: item[1]):
        yield {"form": form, "aicc": aicc}


def critical_records(finding: CriticalFinding) -> Iterator[Record]:
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


def clock_records(finding: CriticalFinding) -> Iterator[Record]:
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


def noise_records(finding: NoiseFinding) -> Iterator[Record]:
    for at in finding.points:
        yield {
            "step": at.step,
            "runs": at.runs,
            "measurements": at.measurements,
            "noise_scale": at.scale,
            "note": at.scale.reason,
        }


def gap_records(finding: GapFinding) -> Iterator[Record]:
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


def layers_records(finding: LayersFinding) -> Iterator[Record]:
    for one in finding.ratios:
        yield {
            "step": finding.step,
            "layer": one.layer,
            "weight_norm": one.weight_norm,
            "gradient_norm": one.gradient_norm,
            "ratio": one.ratio,
            "trials": one.trials,
        }


def edges_records(finding: LayersFinding) -> Iterator[Record]:
    yield {
        "predicted": finding.predicted,
        "measured": finding.measured,
        "measured_over_predicted": finding.agreement,
        "note": finding.agreement.reason or finding.predicted.reason,
    }
