"""What longer training buys: accuracy against epochs and steps, and the epochs to a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from lars_sweep.fit.analysis.curves_in_steps import EpochsAt, EpochsFinding
from lars_sweep.fit.answers import Kind
from lars_sweep.fit.same_steps import Collapse
from lars_sweep.fit.steps import StepsFit
from lars_sweep.nouns import count, with_noun
from lars_sweep.report.evidence import MOST_PANELS, Evidence, Found, Panel, panels
from lars_sweep.report.kinds.epochs_figure import draw_epochs, draw_steps
from lars_sweep.report.kinds.steps_marks import (
    Line,
    Row,
    along,
    cell_rows,
    curve_rows,
    edge_cells,
    seed_rows,
    to_frame,
)  # fmt: skip
from lars_sweep.report.labels import NBSP, batch_label, number, reported_on, signed
from lars_sweep.report.sections import Drawing, Section
from lars_sweep.report.tables import Table
from lars_sweep.report.verdicts import Verdict
from lars_sweep.report.wording import answer_cell, answer_words, interval_words, sentence, some

PANELS_TOLD = 3
MOST_CURVES = 6
"""Batches of a panel that get a curve of their own: the smallest and the largest ones."""


def epochs_section(evidence: Evidence) -> Section:
    """Accuracy against epochs (the paper's Table 5) and against steps (its section 6)."""
    found: list[Panel[EpochsFinding]] = panels(evidence.found("epochs"), by_epochs=False)
    shown = [panel for panel in found if panel.members[0].found is not None][:MOST_PANELS]
    several = [panel for panel in shown if _several_epochs(panel)]
    frame = _frame(evidence, several)
    over_epochs = frame[frame["what"] != "fit over steps"]
    over_steps = frame[(frame["what"] != "fit") & ~frame["what"].str.startswith("target")]
    drawings = []
    reported = reported_on(evidence.observations)
    if several:
        drawings.append(
            Drawing(
                name="accuracy-vs-epochs",
                alt=f"Accuracy {reported} against training epochs at a tuned learning rate, one "
                "line per global batch; bars below show the epochs that each batch needs.",
                caption=_CELLS + " The dashed level is the target, with the interval of its own "
                "where it is an estimate. Bars below, a line per batch: 95 % interval of the "
                "epochs that reach it, a tick at the estimate, an arrow head where a limit lies "
                "outside.",
                draw=lambda: draw_epochs(evidence, several, over_epochs),
                frame=over_epochs.drop(columns="panel"),
            )
        )
        drawings.append(
            Drawing(
                name="accuracy-vs-steps",
                alt=f"Accuracy {reported} against optimizer steps, all batches and epochs of a "
                "network on one curve.",
                caption=_CELLS + " One colour per batch; one curve in optimizer steps is fitted "
                "through all of them (average of the forms exp, hinge², power and exp in "
                "S/(1 + Bc/B)), here drawn at the middle number of epochs.",
                draw=lambda: draw_steps(evidence, several, over_steps),
                frame=over_steps.drop(columns="panel"),
            )
        )
    return Section(
        kind="epochs",
        title="Accuracy, epochs and steps",
        verdict=_verdict(evidence, found),
        drawings=tuple(drawings),
        tables=(_table(shown),) if shown else (),
    )


_CELLS = (
    "Dots are the seeds of the chosen LR, markers the accuracy of a well-chosen LR with its 95 % "
    "interval; hollow: that LR is at the edge of those tested. Lines are solid inside the data, "
    "dashed outside, hatched beyond an octave; bands are 95 % intervals of the mean curve."
)


def _several_epochs(panel: Panel[EpochsFinding]) -> bool:
    told = panel.members[0].found
    return told is not None and len(np.unique(told.steps.cells.epochs)) > 1


def _frame(evidence: Evidence, shown: Sequence[Panel[EpochsFinding]]) -> pd.DataFrame:
    rows: list[Row] = []
    for panel in shown:
        entry = panel.members[0]
        if entry.found is None:
            continue
        found = Found(run=panel.run, entry=entry)
        edges = edge_cells(evidence, found)
        cells = list(cell_rows(entry.found.steps))
        for row in cells:
            row["lr_at_edge"] = (int(row["batch"]), float(row["epochs"])) in edges
        about = {"panel": panel.number, "title": panel.title, "series": ""}
        marks = (*seed_rows(evidence, found), *cells, *_curves(entry.found))
        rows += [about | mark for mark in marks]
        rows += [about | _answer_row(one, entry.found) for one in entry.found.answers]
    return to_frame(rows)


def _curves(told: EpochsFinding) -> Iterator[Row]:
    """A line over epochs per batch run at several, and one over steps at the middle epochs."""
    fit, cells = told.steps.fit, told.steps.cells
    if not isinstance(fit, StepsFit):
        return
    # a batch with one number of epochs shows nothing of the growth with them
    several = [b for b in np.unique(cells.batch) if np.sum(cells.batch == b) > 1]
    batches = [float(batch) for batch in several]
    half = MOST_CURVES // 2
    lines: list[Line] = []
    for batch in batches if len(batches) <= MOST_CURVES else batches[:half] + batches[-half:]:
        mine = cells.epochs[cells.batch == batch]
        x = along(float(cells.epochs.min()) / 1.2, 2.0 * float(mine.max()), mine.tolist())
        lines.append((np.full(len(x), batch), x, {"what": "fit"}))
    epochs = float(np.sort(cells.epochs)[len(cells) // 2])
    least, most = float(cells.steps.min()), float(cells.steps.max())
    steps = along(least / 1.15, 2.2 * most, cells.steps.tolist())
    at = np.full(len(steps), epochs)
    lines.append((epochs * fit.samples / steps, at, {"what": "fit over steps"}))
    yield from curve_rows(fit, lines)


def _answer_row(one: EpochsAt, told: EpochsFinding) -> Row:
    own = one.epochs.interval
    return {
        "what": f"target {one.epochs.kind.value}", "batch": one.batch, "epochs": one.epochs.value,
        "accuracy": told.steps.target.value,
        "low": None if own is None else own.low, "high": None if own is None else own.high,
    }  # fmt: skip


# ── the words


def _verdict(evidence: Evidence, found: Sequence[Panel[EpochsFinding]]) -> Verdict:
    cannot = "the data cannot say what longer training buys"
    epochs = sorted(evidence.observations.strata["epochs"].unique())
    known = [panel for panel in found if panel.members[0].found is not None]
    if not known:
        reasons = [getattr(p.members[0].result, "reason", "") for p in found]
        why = reasons[0] if reasons else "no trial has finished"
        return Verdict(sentence(f"{why}: {cannot}"))
    notes = _notes(known)
    if len(epochs) == 1:
        notes.insert(
            0,
            f"All trials were set to {count(epochs[0], 'epoch')}: that longer training acts "
            "through the number of steps, as a smaller batch does, is assumed and not tested here. "
            "Run a large batch at twice the epochs.",
        )
    if len(known) <= PANELS_TOLD:
        words = [f"with {p.title} {_needs(p.members[0].found)}" for p in known]
        return Verdict(sentence("; ".join(words)), tuple(notes))
    told_of = [p.members[0].found for p in known]
    answers = [one.epochs.kind for told in told_of if told is not None for one in told.answers]
    reached = sum(kind in (Kind.REACHED, Kind.BOUNDED) for kind in answers)
    never = sum(kind in (Kind.NEVER_COMPATIBLE, Kind.CANNOT) for kind in answers)
    text = (
        f"in {reached} of {count(len(answers), 'setting')} the epochs that reach the target are "
        f"bounded; in {never} the data do not exclude that it is never reached"
    )
    return Verdict(sentence(text), tuple(notes))


def _needs(told: EpochsFinding | None) -> str:
    assert told is not None
    target = told.steps.target
    goal = f"{target.value:.2f}{NBSP}%"
    if target.batch is not None:
        goal = f"the {goal} of batch {batch_label(target.batch)}"
        goal += f" at {count(target.epochs or 0, 'epoch')}"
    last = told.answers[-1]
    return f"batch {batch_label(last.batch)} {_need(last, goal)}"


def _need(one: EpochsAt, goal: str) -> str:
    answer = one.epochs
    limits = interval_words(answer.interval, _epochs)
    if answer.kind is Kind.CANNOT:
        return f"never reaches {goal} ({answer.reason})"
    if answer.kind is Kind.NEVER_COMPATIBLE:
        low = None if answer.interval is None else answer.interval.low
        least = "" if low is None else f": at least {with_noun(_epochs(low), 'epoch')}"
        return f"may never reach {goal}{least}; a curve that ends below it is not excluded"
    if answer.value is None and not limits:
        return f"cannot be judged against {goal} ({answer.reason})"
    return f"reaches {goal} after {answer_words(answer, _epochs, 'epoch')}"


def _epochs(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _notes(known: Sequence[Panel[EpochsFinding]]) -> list[str]:
    apart: list[str] = []
    laws, matched, held = [], [], []
    for panel in known:
        told = panel.members[0].found
        assert told is not None
        if isinstance(told.collapse, Collapse):
            apart.append(f"{panel.title}: {told.collapse.verdict}")
        fit = told.steps.fit
        if not isinstance(fit, StepsFit):
            continue
        if fit.matched.value is not None:
            matched.append(f"{answer_words(fit.matched, signed, 'point')} with {panel.title}")
        if fit.steps_law is not None:
            limits = {"steps": fit.steps_law, "examples": fit.examples_law}
            words = [f"{what} alone{' not' * bool(ok)} excluded" for what, ok in limits.items()]
            laws.append(f"{panel.title}: {', '.join(words)}")
        if fit.held_out.last is not None:
            held.append(f"{signed(fit.held_out.last)} with {panel.title}")
    notes = apart[:PANELS_TOLD]
    if matched:
        notes.append(
            f"Twice the batch for twice the epochs, so at equal steps, changes accuracy by "
            f"{some(matched, 3)}."
        )
    if laws:
        notes.append(
            f"What accuracy depends on (the limits 0 and ∞ of Bc in S/(1 + Bc/B), at 5 %): "
            f"{some(laws, 3)}."
        )
    if held:
        notes.append(
            "Error of the curve on the largest batch, fitted without it, in points: "
            f"{some(held, 3)}."
        )
    return notes


_ANSWERS = {Kind.NEVER_COMPATIBLE: "may never", Kind.CANNOT: "never"}


def _table(shown: Sequence[Panel[EpochsFinding]]) -> Table:
    rows, records = [], []
    for panel in shown:
        told = panel.members[0].found
        if told is None:
            continue
        for one in told.answers:
            mine = told.steps.cells.epochs[told.steps.cells.batch == one.batch]
            rows.append(
                (
                    panel.title, batch_label(one.batch),
                    ", ".join(number(e) for e in mine.tolist()),
                    f"{told.steps.target.value:.2f}", answer_cell(one.epochs, _epochs),
                    _ANSWERS.get(one.epochs.kind, one.epochs.kind.value.replace("_", " ")),
                )
            )  # fmt: skip
            own = one.epochs.interval
            records.append(
                {
                    "setting": panel.title, "global_batch": one.batch,
                    "target": told.steps.target.value, "target_se": told.steps.target.se,
                    "target_source": told.steps.target.source, "epochs": one.epochs.value,
                    "epochs_95_low": None if own is None else own.low,
                    "epochs_95_high": None if own is None else own.high,
                    "kind": one.epochs.kind.value, "reason": one.epochs.reason,
                }
            )  # fmt: skip
    return Table(
        name="epochs-to-target",
        caption="Epochs at which each batch reaches the target by the joint curve, with their 95 % "
        "interval. Reached: inside the epochs that were run, as by definition the batch that sets "
        "the target; at least: no upper limit; may never: a curve that ends below the target is "
        "not excluded; never: it is shown.",
        head=("Stratum", "Batch", "Epochs run", "Target %", "Epochs needed", "Answer"),
        numeric=(False, True, True, True, True, False),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
    )
