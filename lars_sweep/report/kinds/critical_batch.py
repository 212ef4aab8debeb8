"""Where bigger batches stop paying: steps, and hours, to a target against the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd

from lars_sweep.fit.analysis.critical import CriticalFinding
from lars_sweep.fit.analysis.curves_in_steps import StepsFinding
from lars_sweep.fit.answers import Answer, Kind
from lars_sweep.fit.critical_batch import (
    CriticalBatch,
    LocalRegime,
    StepsToTarget,
    steps_to_target,
)
from lars_sweep.fit.log_forms import LogSteps
from lars_sweep.fit.steps import StepsFit
from lars_sweep.nouns import count
from lars_sweep.report.evidence import MOST_PANELS, Evidence, Panel, panels
from lars_sweep.report.kinds.critical_batch_figure import draw_clock, draw_steps_to_target
from lars_sweep.report.kinds.noise_scale import noise_notes, noise_points, noise_tables
from lars_sweep.report.labels import NBSP, batch_label, lr_label
from lars_sweep.report.sections import Drawing, Section
from lars_sweep.report.tables import Table
from lars_sweep.report.verdicts import Verdict
from lars_sweep.report.wording import answer_cell, answer_words, interval_words, sentence

PANELS_TOLD = 3
_OVERHEAD = "20 % more samples than the smallest batch tested are needed at batch"
COLUMNS = ("panel", "title", "what", "batch", "devices", "steps", "hours", "low", "high")


def critical_batch_section(evidence: Evidence) -> Section:
    """Steps to a target against batch (Shallue et al., figure 1; McCandlish et al.)."""
    found: list[Panel[CriticalFinding]] = panels(evidence.found("critical_batch"), by_epochs=False)
    points = {panel.number: _points(evidence, panel) for panel in found}
    listed = [panel for panel in found if len(points[panel.number].batch)][:MOST_PANELS]
    # Batches none of which reached the target are told of in the table.
    drawn = [panel for panel in listed if not points[panel.number].censored.all()]
    timed = [p for p in drawn if (told := p.members[0].found) is not None and told.clock]
    steps = _frame(drawn, lambda panel, told: _steps_rows(told, points[panel.number]))
    hours = _frame(timed, lambda _, told: _clock_rows(told))
    drawings = []
    if drawn:
        drawings.append(
            Drawing(
                name="steps-to-target",
                alt="Optimizer steps to the target accuracy against global batch, both on "
                "logarithmic axes, with the lines of perfect scaling and of the small-batch law.",
                caption="Markers: steps to the target at each batch with their 95 % interval; "
                "hollow with an arrow: not reached in that many steps. Dashed: perfect scaling "
                "from the smallest batch tested, steps halve as the batch doubles. Dotted: the "
                "small-batch law of the fit, Smin (B½/B)^α. The vertical line is B½, where the fit "
                "is at twice the steps of that law, its 95 % interval shaded.",
                draw=lambda: draw_steps_to_target(evidence, drawn, steps),
                frame=steps.drop(columns="panel"),
            )
        )
    if timed:
        drawings.append(
            Drawing(
                name="hours-to-target",
                alt="Hours to the target accuracy against global batch, one line per number of "
                "devices.",
                caption="Steps to the target times the measured seconds per step, with 95 % "
                "intervals; only batches that were timed and reached the target.",
                draw=lambda: draw_clock(evidence, timed, hours),
                frame=hours.drop(columns="panel"),
            )
        )
    measured = noise_points(evidence)
    verdict = _verdict(found)
    return Section(
        kind="critical-batch",
        title="Critical batch",
        verdict=Verdict(verdict.sentence, (*verdict.notes, *noise_notes(measured))),
        drawings=tuple(drawings),
        tables=(*([_table(listed, points)] if listed else ()), *noise_tables(measured)),
    )


def _points(evidence: Evidence, panel: Panel[CriticalFinding]) -> StepsToTarget:
    """Steps to the target per batch, also where they are too few for a fit."""
    told = panel.members[0].found
    if told is not None and isinstance(told.fit, CriticalBatch):
        return told.fit.points
    for one in evidence.found("batch") if told is not None else ():
        if one.run == panel.run and one.key.group == panel.members[0].key and one.entry.found:
            steps: StepsFinding = one.entry.found.steps
            noise = steps.noise
            if noise is None and isinstance(steps.fit, StepsFit):
                noise = steps.fit.averaged.noise
            if told is not None and noise is not None:
                return steps_to_target(steps.cells, noise, told.target.value, told.target.se)
    none = np.zeros(0)
    return StepsToTarget(batch=none, steps=none, log_se=none, censored=none > 0)


# ── what is drawn


def _frame(
    shown: Sequence[Panel[CriticalFinding]],
    marks: Callable[[Panel[CriticalFinding], CriticalFinding], Iterator[dict[str, Any]]],
) -> pd.DataFrame:
    rows = []
    for panel in shown:
        told = panel.members[0].found
        if told is not None:
            about = {"panel": panel.number, "title": panel.title}
            rows += [about | row for row in marks(panel, told)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _steps_rows(told: CriticalFinding, points: StepsToTarget) -> Iterator[dict[str, Any]]:
    for batch, steps, se, censored in zip(
        points.batch, points.steps, points.log_se, points.censored, strict=True
    ):
        half = 0.0 if censored else 1.959964 * se
        yield {
            "what": "not reached" if censored else "reached", "batch": batch, "steps": steps,
            "low": steps * np.exp(-half), "high": np.nan if censored else steps * np.exp(half),
        }  # fmt: skip
    reached = ~points.censored
    low, high = points.batch.min(), points.batch.max()
    at = np.geomspace(low / 1.2, 2 * high, 41)
    if reached.any():
        first = np.flatnonzero(reached)[np.argmin(points.batch[reached])]
        for batch in at:
            perfect = points.steps[first] * points.batch[first] / batch
            yield {"what": "perfect scaling", "batch": batch, "steps": perfect}
    fit = told.fit
    if not isinstance(fit, CriticalBatch):
        return
    at = np.unique(np.concatenate([at, points.batch]))
    curve = _curves(points, fit, at)
    if curve is not None:
        for what, line in curve.items():
            for batch, steps in zip(at, line, strict=True):
                yield {"what": what, "batch": batch, "steps": steps}
    if fit.half.value is not None and fit.half.interval is not None:
        own = fit.half.interval
        yield {"what": "B_half", "batch": fit.half.value, "low": own.low, "high": own.high}


def _curves(
    points: StepsToTarget, fit: CriticalBatch, at: np.ndarray
) -> dict[str, np.ndarray] | None:
    """``Smin (1 + (B_half/B)**alpha)``, and its second term alone, at batches (m,).

    Smin is what the batches that reached the target say.
    """
    if fit.half.value is None or fit.alpha.value is None:
        return None
    theta = np.log([fit.half.value, fit.alpha.value])
    reached = ~points.censored
    rest = np.log(points.steps) - np.asarray(LogSteps().offset(theta, points.batch[:, None]))
    level = np.average(rest[reached], weights=1.0 / points.log_se[reached] ** 2)
    law = level + fit.alpha.value * (theta[0] - np.log(at))
    whole = level + np.asarray(LogSteps().offset(theta, at[:, None]))
    return {"fit": np.exp(whole), "small-batch law": np.exp(law)}


def _clock_rows(told: CriticalFinding) -> Iterator[dict[str, Any]]:
    for one in told.clock:
        yield {
            "what": "hours", "batch": one.batch, "devices": one.devices, "hours": one.hours,
            "low": one.low, "high": one.high,
        }  # fmt: skip


# ── the words


def _verdict(found: Sequence[Panel[CriticalFinding]]) -> Verdict:
    cannot = "the data cannot say where bigger batches stop paying"
    known = [(p, p.members[0].found) for p in found if p.members[0].found is not None]
    fitted = [(p, told) for p, told in known if told and isinstance(told.fit, CriticalBatch)]
    notes = _notes(known)
    if not fitted:
        reasons = [_reason(panel) for panel in found]
        why = max(sorted(set(reasons)), key=reasons.count) if reasons else "no trial has finished"
        advice = ""
        if known:
            advice = "; run each batch at several numbers of epochs around the target"
        return Verdict(sentence(f"{cannot}: {why}{advice}"), tuple(notes))
    if len(fitted) <= PANELS_TOLD:
        words = [f"with {p.title} {_half(told.fit)}" for p, told in fitted if told]
        return Verdict(sentence("; ".join(words)), tuple(notes))
    halves = [t.fit.half for _, t in fitted if t and isinstance(t.fit, CriticalBatch)]
    bounded = [h.value for h in halves if h.kind is Kind.BOUNDED and h.value is not None]
    text = f"B½, at twice the steps of the small-batch law, is bounded in {len(bounded)} "
    text += f"of {count(len(found), 'setting')}"
    if bounded:
        text += f", between batch {_batch(min(bounded))} and {_batch(max(bounded))}"
    return Verdict(sentence(text), tuple(notes))


def _reason(panel: Panel[CriticalFinding]) -> str:
    told = panel.members[0].found
    if told is None:
        return str(getattr(panel.members[0].result, "reason", ""))
    return "" if isinstance(told.fit, CriticalBatch) else told.fit.reason


def _half(fit: object) -> str:
    if not isinstance(fit, CriticalBatch):
        return "nothing is known"
    half = fit.half
    limits = interval_words(half.interval, _batch)
    if half.kind is Kind.BOUNDED:
        return (
            "twice the steps of the small-batch law are needed at batch "
            f"{answer_words(half, _batch)}"
        )
    if half.kind in (Kind.CENSORED_HIGH, Kind.AT_LEAST):
        return f"bigger batches still pay: B½ lies {limits}"
    if half.kind is Kind.CENSORED_LOW:
        return f"bigger batches no longer pay: B½ lies {limits}"
    return f"the data cannot say where bigger batches stop paying ({half.reason})"


def _batch(value: float) -> str:
    return f"{value:,.0f}"


def _notes(known: Sequence[tuple[Panel[CriticalFinding], CriticalFinding | None]]) -> list[str]:
    notes = []
    for panel, told in known[:6]:
        if told is None:
            continue
        parts = [f"target {told.target.value:.2f}{NBSP}% ({told.target.source})"]
        if isinstance(told.fit, CriticalBatch):
            parts += _scaling(told.fit.regimes)
            parts.append(f"exponent {answer_words(told.fit.alpha, _two)}")
            parts.append(_words("McCandlish's critical batch", told.fit.mccandlish))
            parts.append(_words(_OVERHEAD, told.fit.overhead))
        if told.clock:
            fastest = told.clock[0]
            devices = count(fastest.devices, "device")
            parts.append(
                f"on the clock the fastest is batch {batch_label(fastest.batch)} on {devices}, "
                f"{_hours(fastest.hours)} h ({_hours(fastest.low)} to {_hours(fastest.high)})"
            )
        elif told.clock_note:
            parts.append(f"wall-clock: {told.clock_note}")
        notes.append(f"{panel.title}: {'; '.join(parts)}.")
    return notes


def _scaling(regimes: Sequence[LocalRegime]) -> list[str]:
    """As in ``scaling is perfect from batch 64 to 512, diminishing to 4,096``."""
    spans = [(regime, list(steps)) for regime, steps in groupby(regimes, lambda one: one.regime)]
    if not spans:
        return []
    words = [f"{regime} to {batch_label(int(steps[-1].high_batch))}" for regime, steps in spans]
    first, *others = words
    start = f"from batch {batch_label(int(regimes[0].low_batch))} to"
    return ["scaling is " + ", ".join([first.replace("to", start, 1), *others])]


def _words(name: str, answer: Answer) -> str:
    return f"{name} {answer_words(answer, _batch)}"


def _two(value: float) -> str:
    return f"{value:.2f}"


def _hours(value: float) -> str:
    return lr_label(value)


def _slope_cells(step: LocalRegime | None) -> tuple[str, str]:
    if step is None:
        return "–", "–"
    low, high = step.interval.low, step.interval.high
    return f"{step.slope:.2f} ({low:.2f} – {high:.2f})", step.regime


def _table(
    drawn: Sequence[Panel[CriticalFinding]], points_of: Mapping[int, StepsToTarget]
) -> Table:
    rows, records = [], []
    for panel in drawn:
        told = panel.members[0].found
        if told is None:
            continue
        fit = told.fit if isinstance(told.fit, CriticalBatch) else None
        half = None if fit is None else fit.half
        since = {} if fit is None else {one.high_batch: one for one in fit.regimes}
        points = points_of[panel.number]
        for batch, steps, se, censored in zip(
            points.batch, points.steps, points.log_se, points.censored, strict=True
        ):
            low, high = (steps * np.exp(sign * 1.959964 * se) for sign in (-1, 1))
            step = since.get(float(batch))
            rows.append(
                (
                    panel.title, f"{told.target.value:.2f}", batch_label(batch),
                    f"> {steps:,.0f}" if censored else f"{steps:,.0f} ({low:,.0f} – {high:,.0f})",
                    *_slope_cells(step),
                    "–" if half is None else answer_cell(half, _batch),
                )
            )  # fmt: skip
            records.append(
                {
                    "setting": panel.title, "target": told.target.value, "global_batch": batch,
                    "steps": steps, "log_se": se, "censored": bool(censored),
                    "slope": None if step is None else step.slope,
                    "slope_95_low": None if step is None else step.interval.low,
                    "slope_95_high": None if step is None else step.interval.high,
                    "scaling": None if step is None else step.regime,
                    "B_half": None if half is None else half.value,
                    "B_half_kind": None if half is None else half.kind.value,
                }
            )  # fmt: skip
    return Table(
        name="steps-to-target-points",
        caption="Steps to the target per batch with their 95 % interval (>: not reached in that "
        "many), the slope of log steps over log batch since the batch before, and B½ of the fit "
        "through them. Scaling: perfect below -0.9, maximal (more batch saves no steps) above "
        "-0.1, diminishing between; undetermined where the slope's interval crosses a limit.",
        head=("Stratum", "Target %", "Batch", "Steps", "Slope", "Scaling", "B½"),
        numeric=(False, *[True] * 4, False, True),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
    )
