"""How the best LR grows with the batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lars_sweep.fit.analysis.scaling import LrScalingFinding, lr_column
from lars_sweep.fit.answers import Answer, p_text
from lars_sweep.fit.best_lr import NO_BEST, FormScore, Hypothesis, LrScaling
from lars_sweep.nouns import count
from lars_sweep.report import canvas, tables
from lars_sweep.report.canvas import INK, MUTED, Canvas
from lars_sweep.report.evidence import MOST_PANELS, Evidence, Panel, panels
from lars_sweep.report.fitmarks import Handle, draw_cells
from lars_sweep.report.kinds.laws_marks import FORMS, draw_laws, law_handles
from lars_sweep.report.labels import NBSP, batch_label, figure_footer, lr_label, number
from lars_sweep.report.marks import handle
from lars_sweep.report.sections import Drawing, Section
from lars_sweep.report.strokes import add_strokes
from lars_sweep.report.tables import Table
from lars_sweep.report.verdicts import Verdict
from lars_sweep.report.wording import answer_cell, interval_words, sentence, some

PANELS_TOLD = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """One scaling of one panel, in one measure of the LR."""

    number: int
    row: int
    column: str
    title: str
    unit: str
    scaling: LrScaling
    ranges: tuple[tuple[float, float, float], ...]
    """(batch, lower edge, upper edge) of the good LRs, where the measure is that of the edges."""


def best_lr_section(evidence: Evidence) -> Section:
    """The best LR against the batch (Shallue et al., figure 5; the paper's section 6)."""
    found: list[Panel[LrScalingFinding]] = panels(evidence.found("best_lr"), by_epochs=True)
    views = _views(evidence, found[:MOST_PANELS])
    frame = _frame(views)
    drawing = Drawing(
        name="best-lr-vs-batch",
        alt="Best learning rate against global batch, both on logarithmic axes, with the "
        "saturating, square-root and linear laws fitted to it.",
        caption=_caption(views),
        draw=lambda: _draw(evidence, views, frame),
        frame=frame.drop(columns="panel"),
    )
    chosen = len(evidence.observations.strata) > 0
    return Section(
        kind="best-lr",
        title="Best learning rate and batch",
        verdict=_verdict(evidence, found),
        drawings=(drawing,) if views else (),
        tables=(
            *([_table(found)] if found else []),
            *([tables.chosen_table(evidence.observations)] if chosen else []),
        ),
    )


def _caption(views: Sequence[_View]) -> str:
    bars = any(view.scaling.points.se is not None for view in views)
    parts = [
        "Markers: the middle, in octaves, of each batch's good LRs"
        + (" with its 95 % interval." if bars else ", or the LR that the table states as chosen.")
    ]
    if any(view.ranges for view in views):
        parts.append("Pale bars: the good LRs themselves.")
    parts.append(
        "Each law has its constants fitted to all markers; solid inside the data, dashed outside. "
        "LARS's null is what a constant γη already gives while gradient noise dominates, so a root "
        "law of γη alone says nothing about LARS; the effective LR is the measured mean of γλ."
    )
    return " ".join(parts)


# ── what is drawn


def _views(evidence: Evidence, found: Sequence[Panel[LrScalingFinding]]) -> list[_View]:
    views: list[_View] = []
    for panel in found:
        entry = panel.members[0]
        if entry.found is None:
            continue
        told = entry.found
        peak = isinstance(told.peak, LrScaling)
        for unit, scaling in (
            ("largest LR of the schedule, γ" if peak else "base LR γ (nominal)", told.headline),
            ("measured effective LR, mean γλ", told.effective),
        ):
            if not isinstance(scaling, LrScaling):
                continue
            measured = unit.startswith("measured")
            views.append(
                _View(
                    number=len(views),
                    row=2 * panel.row + measured,
                    column=panel.optimizer,
                    title=panel.title + (", effective LR" if measured else ""),
                    unit=unit,
                    scaling=scaling,
                    ranges=() if measured else _ranges(evidence, panel, peak=peak),
                )
            )
    return views


def _ranges(
    evidence: Evidence, panel: Panel[LrScalingFinding], *, peak: bool
) -> tuple[tuple[float, float, float], ...]:
    own = panel.members[0].key
    found = []
    for one in evidence.found("lr_interval"):
        same = one.run == panel.run and one.key.conditions == own.conditions
        if not same or one.key.epochs != own.epochs or one.entry.found is None:
            continue
        interval = one.entry.found.peak if peak else one.entry.found.interval
        low, high = getattr(interval, "low", None), getattr(interval, "high", None)
        if isinstance(low, Answer) and isinstance(high, Answer) and low.value and high.value:
            found.append((float(one.key.global_batch or 0), low.value, high.value))
    return tuple(found)


def _frame(views: Sequence[_View]) -> pd.DataFrame:
    """One row per mark: best LRs with limits, ranges of good LRs, and points of every curve."""
    rows: list[dict[str, Any]] = []
    for view in views:
        about = {"panel": view.number, "title": view.title, "measure": view.unit}
        rows += [about | mark for mark in _marks(view)]
    columns = ["panel", "title", "measure", "what", "batch", "lr", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _marks(view: _View) -> Iterator[dict[str, Any]]:
    points = view.scaling.points
    spread = np.full(len(points.lr), np.nan) if points.se is None else 1.959964 * points.se
    for batch, lr, half in zip(points.batch, points.lr, spread, strict=True):
        yield {
            "what": "best LR", "batch": batch, "lr": lr,
            "low": lr * np.exp(-half), "high": lr * np.exp(half),
        }  # fmt: skip
    for batch, low, high in view.ranges:
        yield {"what": "good LRs", "batch": batch, "low": low, "high": high}
    low, high = points.batch.min(), points.batch.max()
    at = np.unique(np.concatenate([np.geomspace(low / 1.3, high * 1.6, 41), [low, high]]))
    for score in view.scaling.forms:
        for batch, log_lr in zip(at, score.fit.predict(at[:, None]), strict=True):
            yield {"what": score.fit.form.name, "batch": batch, "lr": float(np.exp(log_lr))}


def _draw(evidence: Evidence, views: Sequence[_View], frame: pd.DataFrame) -> Canvas:
    names = [name for name in FORMS if (frame["what"] == name).any()]
    legend: list[Handle] = [handle("best LR", marker="o", color=INK)]
    legend += law_handles(names)
    grid = canvas.make_canvas(
        [(v.number, v.row, v.column) for v in views],
        {view.number: view.title for view in views},
        legend=legend,
        footer=figure_footer(evidence.observations, evidence.fixture),
    )
    for view in views:
        axes, mine = grid.slots[view.number].main, frame[frame["panel"] == view.number]
        _draw_view(axes, mine, view)
    return grid


def _draw_view(axes: Axes, mine: pd.DataFrame, view: _View) -> None:
    points = mine[mine["what"] == "best LR"]
    batch, lr, low, high = (points[n].to_numpy(float) for n in ("batch", "lr", "low", "high"))
    ranges = mine[mine["what"] == "good LRs"]
    drawn = np.concatenate([lr, *(ranges[name].to_numpy(float) for name in ("low", "high"))])
    canvas.batch_axis(axes, [int(b) for b in batch])
    canvas.log_y_axis(axes, float(drawn.min()), float(drawn.max()), view.unit)
    bottom, top = (ranges[["batch", name]].to_numpy(float) for name in ("low", "high"))
    add_strokes(axes, bottom, top, color=MUTED, alpha=0.22, width=7, zorder=1)
    draw_laws(axes, mine[mine["what"].isin(list(FORMS))], (batch.min(), batch.max()))
    draw_cells(axes, batch, lr, (low, high), color=INK, marker="o")


# ── the words


def _verdict(evidence: Evidence, found: Sequence[Panel[LrScalingFinding]]) -> Verdict:
    known = [(panel, one) for panel in found if (one := panel.members[0].found) is not None]
    if not known:
        reasons = [getattr(p.members[0].result, "reason", "") for p in found]
        why = reasons[0] if reasons else "no trial has finished"
        return Verdict(
            sentence(f"The data cannot say how the best LR grows with the batch: {why}"),
            _cannot(found) if len(set(reasons)) > 1 else (),
        )
    if len(known) <= PANELS_TOLD:
        told = [f"with {panel.title} {_growth(one.headline)}" for panel, one in known]
        text = f"The best LR {'; '.join(told)}"
    else:
        text = _counted(known)
    notes = [f"{panel.title}: {_judged(one)}." for panel, one in known[:6]]
    return Verdict(sentence(text), (*notes, *_pooled(evidence), *_cannot(found)))


def _pooled(evidence: Evidence) -> Iterator[str]:
    """The laws ranked over all models at once, where there are several."""
    for one in evidence.found("best_lr_pooled"):
        criteria = sorted((one.entry.found or {}).items(), key=lambda item: item[1])
        best = criteria[0][1]
        ranked = [f"{_law(name)} {value - best:+.1f}" for name, value in criteria[1:]]
        yield (
            f"Over {one.key['model']}, constants of their own for each: the {_law(criteria[0][0])} "
            f"law has the smallest AICc; above it by: {'; '.join(ranked)}."
        )


def _law(name: str) -> str:
    return FORMS[name][0] if name in FORMS else name.replace("_", " ")


def _growth(scaling: object) -> str:
    if not isinstance(scaling, LrScaling):
        return "could not be compared over batches"
    alpha = scaling.alpha
    if alpha.value is None:
        return "has no exponent that the data identify"
    limits = interval_words(alpha.interval, _two)
    bracket = f"95{NBSP}% interval {limits}" if limits else f"no interval: {alpha.reason}"
    return f"grows as batch to the power {alpha.value:.2f} ({bracket})"


def _two(value: float) -> str:
    return f"{value:.2f}"


def _counted(found: Sequence[tuple[Panel[LrScalingFinding], LrScalingFinding]]) -> str:
    """How many settings say what; those that share a model's best LRs count once."""
    columns = {
        lr_column(panel.members[0].key, one.headline): one.headline
        for panel, one in found
        if isinstance(one.headline, LrScaling) and one.headline.alpha.value is not None
    }
    known = list(columns.values())
    once = " (settings that share a model's best LRs count once)"
    powers = [one.alpha.value for one in known if one.alpha.value is not None]
    rejected = {
        name: sum(_conclusion(one, name) == "rejected" for one in known)
        for name in ("linear", "square root")
    }
    return (
        f"The best LR grows as batch to a power between {min(powers):.2f} and {max(powers):.2f} "
        f"over {count(len(known), 'setting')}{once if len(known) < len(found) else ''}; linear "
        f"scaling is rejected in {rejected['linear']} of them "
        f"and square-root scaling in {rejected['square root']}"
    )


def _conclusion(scaling: LrScaling, name: str) -> str:
    return next((h.conclusion for h in scaling.hypotheses if h.name == name), "untested")


_WORDS = {
    "equivalent": "holds within ±0.1 of its exponent",
    "rejected": "is rejected",
    "compatible": "is neither rejected nor shown",
    "untested": "is untested",
}


_MEASURED = "measured effective LR: "
"""How the fit begins some of its reasons."""


def _judged(found: LrScalingFinding) -> str:
    parts = []
    for measure, scaling in (("", found.headline), ("in effective LR ", found.effective)):
        if not isinstance(scaling, LrScaling):
            continue
        tests = "; ".join(f"{h.name} scaling {_test(h)}" for h in scaling.hypotheses)
        best = f"best form: {_law(scaling.best_form)}"
        if scaling.best_form == NO_BEST:
            best = f"no best form: {len(scaling.points.batch)} batches do not rank them"
        parts.append(f"{measure}{tests}; {best}")
    if not isinstance(found.effective, LrScaling):
        parts.append(f"effective LR: {found.effective.reason.removeprefix(_MEASURED)}")
    return ". ".join(part[:1].upper() + part[1:] for part in parts)


def _test(hypothesis: Hypothesis) -> str:
    p = hypothesis.p_value
    told = "" if p is None else f" ({p_text(p).replace(' ', NBSP)})"
    return f"{_WORDS[hypothesis.conclusion]}{told}"


def _cannot(found: Sequence[Panel[LrScalingFinding]]) -> tuple[str, ...]:
    names = [
        f"{panel.title} ({getattr(panel.members[0].result, 'reason', '')})"
        for panel in found
        if panel.members[0].found is None
    ]
    return (f"The data cannot say for {some(names, 4)}.",) if names else ()


def _table(found: Sequence[Panel[LrScalingFinding]]) -> Table:
    rows, records = [], []
    for panel in found:
        told = panel.members[0].found
        scalings = () if told is None else (
            ("largest γ", told.peak), ("nominal γ", told.nominal), ("effective", told.effective)
        )  # fmt: skip
        for measure, scaling in scalings:
            if not isinstance(scaling, LrScaling):
                continue
            for score in scaling.forms:
                rows.append((panel.title, measure, *_score_cells(scaling, score)))
                records.append(
                    {"setting": panel.title, "measure": measure, "form": score.fit.form.name,
                     "rss": score.fit.rss, "aicc": score.aicc, "last_ratio": score.last_ratio,
                     "at_bound": " ".join(score.fit.at_bound), **score.fit.parameters}
                )  # fmt: skip
    return Table(
        name="best-lr-forms",
        caption="Every law of the best LR, fitted in log LR: its constants, residual sum of "
        "squares, Akaike's criterion (n/a where undefined), the LR of the largest batch predicted "
        "from the others over the actual one, and the 95 % interval of the exponent or of B₀.",
        head=("Stratum", "LR", "Law", "Constants", "RSS", "AIC(c)", "Last batch", "95 % interval"),
        numeric=(False, False, False, False, *[True] * 4),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
    )


def _score_cells(scaling: LrScaling, score: FormScore) -> tuple[str, ...]:
    name = score.fit.form.name
    constants = [f"{k} {number(float(f'{v:.4g}'))}" for k, v in score.fit.parameters.items()]
    interval = "–"
    if name == "power":
        interval = answer_cell(scaling.alpha, _two)
    elif name == "saturating":
        interval = answer_cell(scaling.saturation_batch, _batch)
    return (
        _law(name),
        ", ".join(constants),
        f"{score.fit.rss:.3g}",
        "n/a" if score.aicc is None else f"{score.aicc:.1f}",
        "–" if score.last_ratio is None else f"× {score.last_ratio:.2f}",
        interval,
    )


def _batch(value: float) -> str:
    return batch_label(value) if value >= 1 and float(value).is_integer() else lr_label(value)
