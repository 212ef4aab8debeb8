"""How accuracy falls with the batch at fixed epochs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lars_sweep.fit.analysis.curves_in_steps import BatchFinding
from lars_sweep.fit.answers import Interval, Kind
from lars_sweep.fit.steps import StepsFit
from lars_sweep.nouns import count
from lars_sweep.report import canvas
from lars_sweep.report.canvas import INK, OPTIMIZER_COLORS, OPTIMIZER_MARKERS, Canvas
from lars_sweep.report.evidence import MOST_PANELS, Evidence, Found, Panel, panels
from lars_sweep.report.fitmarks import (
    Handle,
    draw_cells,
    draw_curve,
    draw_dots,
    draw_level,
    fit_handles,
)
from lars_sweep.report.kinds.steps_marks import (
    Line,
    Row,
    along,
    cell_rows,
    columns,
    curve_rows,
    edge_cells,
    seed_rows,
    to_frame,
)  # fmt: skip
from lars_sweep.report.labels import (
    NBSP,
    batch_label,
    figure_footer,
    number,
    optimizer_label,
    reported_head,
    reported_on,
    signed,
)
from lars_sweep.report.marks import handle, seed_handle
from lars_sweep.report.sections import Drawing, Section
from lars_sweep.report.tables import Table
from lars_sweep.report.verdicts import Verdict
from lars_sweep.report.wording import answer_cell, answer_words, interval_words, sentence, some

PANELS_TOLD = 3
CURVE_REACH = 1.5
"""How far the axis follows a curve outside the data, times the range of the data."""


def batch_section(evidence: Evidence) -> Section:
    """Accuracy at a tuned LR against batch (Tables 3, 4 and 6)."""
    found: list[Panel[BatchFinding]] = panels(evidence.found("batch"), by_epochs=True)
    shown = [panel for panel in found if panel.members[0].found is not None]
    shown = [panel for panel in shown if panel.row in sorted({p.row for p in shown})[:MOST_PANELS]]
    frame = _frame(evidence, shown)
    drawing = Drawing(
        name="accuracy-vs-batch",
        alt=f"Accuracy {reported_on(evidence.observations)} against global batch at a tuned "
        "learning rate, one line per optimizer.",
        caption=_caption(shown),
        draw=lambda: _draw(evidence, shown, frame),
        frame=frame.drop(columns="panel"),
    )
    return Section(
        kind="batch",
        title="Accuracy and batch",
        verdict=_verdict(evidence, found),
        drawings=(drawing,) if shown else (),
        tables=(_table(evidence, found),) if shown else (),
    )


def _caption(shown: Sequence[Panel[BatchFinding]]) -> str:
    fits = [p.members[0].found.steps.fit for p in shown if p.members[0].found is not None]
    parts = [
        "Dots are the seeds of the chosen LR, markers the accuracy of a well-chosen LR (the height "
        "of the flat top over LRs where it could be fitted, else the mean at the chosen LR) with "
        "its 95 % interval. Hollow: the chosen LR is at the edge of those tested."
    ]
    if any(isinstance(fit, StepsFit) for fit in fits):
        n = max(len(fit.cells) for fit in fits if isinstance(fit, StepsFit))
        parts.append(
            f"Line: one curve in optimizer steps through all batches and epochs (average of forms, "
            f"up to {count(n, 'cell')}), solid inside the data, dashed outside; band: 95 % "
            "interval of the mean curve."
        )
    parts.append("Dashed level: the smallest batch.")
    return " ".join(parts)


def _frame(evidence: Evidence, shown: Sequence[Panel[BatchFinding]]) -> pd.DataFrame:
    rows: list[Row] = []
    lines: dict[int, tuple[StepsFit, list[Line]]] = {}
    for panel in shown:
        entry = panel.members[0]
        told, epochs = entry.found, entry.key.epochs
        if told is None or epochs is None:
            continue
        found = Found(run=panel.run, entry=entry)
        edges = edge_cells(evidence, found)
        cells = [row for row in cell_rows(told.steps) if row["epochs"] == epochs]
        for row in cells:
            row["lr_at_edge"] = (int(row["batch"]), epochs) in edges
        about = {"panel": panel.row, "title": panel.row_title, "series": panel.optimizer}
        rows += [about | mark for mark in (*seed_rows(evidence, found), *cells)]
        if isinstance(fit := told.steps.fit, StepsFit):
            batches = [float(row["batch"]) for row in cells]
            x = along(min(batches) / 2**0.25, max(batches) * 2, batches)
            line = (x, np.full(len(x), epochs), about | {"what": "fit"})
            lines.setdefault(id(fit), (fit, []))[1].append(line)
    # All epochs of a fit at once: one call of its band costs little more for many points.
    for fit, together in lines.values():
        rows += curve_rows(fit, together)
    return to_frame(rows)


def _draw(evidence: Evidence, shown: Sequence[Panel[BatchFinding]], frame: pd.DataFrame) -> Canvas:
    titles = {panel.row: panel.row_title or f"{evidence.models}" for panel in shown}
    optimizers = list(dict.fromkeys(panel.optimizer for panel in shown))
    legend: list[Handle] = [
        handle(optimizer_label(name), marker=_marker(name), color=_color(name))
        for name in optimizers
        if name
    ]
    if (frame["what"] == "seed").any():
        legend.append(seed_handle())
    fitted = frame[frame["what"] == "fit"]
    if len(fitted):
        legend += fit_handles(band=bool(fitted["low"].notna().any()), outside=True)
    grid = canvas.make_canvas(
        [(row, row, "") for row in titles], titles, legend=legend,
        footer=figure_footer(evidence.observations, evidence.fixture),
    )  # fmt: skip
    for row, slot in grid.slots.items():
        mine = frame[frame["panel"] == row]
        for name, series in mine.groupby("series"):
            _draw_series(slot.main, series, _color(str(name)), _marker(str(name)))
        cells = mine[mine["what"] == "cell"]
        batches = [int(b) for b in cells["batch"].unique()]
        beyond = [2 * max(batches)] if (mine["what"] == "fit").any() else []
        canvas.batch_axis(slot.main, [*batches, *beyond])
        slot.main.set_ylim(canvas.accuracy_limits(*accuracy_range(mine, slot.main.get_xlim()[1])))
        slot.main.set_ylabel(f"top-1 {reported_on(evidence.observations)} (%)")
        _draw_baseline(slot.main, cells)
    return grid


def accuracy_range(mine: pd.DataFrame, last: float) -> tuple[float, float]:
    """Accuracies to be seen: all measured ones, and the curve as far as it does not dwarf them."""
    seen = mine[mine["what"] != "fit"]["accuracy"]
    low, high = float(seen.min()), float(seen.max())
    curve = mine[(mine["what"] == "fit") & (mine["batch"] <= last)]["accuracy"].dropna()
    reach = CURVE_REACH * max(high - low, 1.0)
    return max(min([low, *curve]), low - reach), min(max([high, *curve]), high + reach)


def _color(optimizer: str) -> str:
    return OPTIMIZER_COLORS.get(optimizer, INK)


def _marker(optimizer: str) -> str:
    return OPTIMIZER_MARKERS.get(optimizer, "v")


def _draw_series(axes: Axes, series: pd.DataFrame, color: str, marker: str) -> None:
    seeds, cells, curve = (series[series["what"] == name] for name in ("seed", "cell", "fit"))
    seed_x, seed_y = columns(seeds, "batch", "accuracy")
    draw_dots(axes, seed_x, seed_y, color)
    batch, accuracy, low, high = columns(cells, "batch", "accuracy", "low", "high")
    if len(curve):
        x, y, bottom, top = columns(curve, "batch", "accuracy", "low", "high")
        draw_curve(axes, x, y, (bottom, top), (batch.min(), batch.max()), color)
    else:
        axes.plot(batch, accuracy, color=color, linewidth=0.8, alpha=0.45, zorder=1.8)
    hollow = cells["lr_at_edge"].to_numpy(bool)
    draw_cells(axes, batch, accuracy, (low, high), color=color, marker=marker, hollow=hollow)


def _draw_baseline(axes: Axes, cells: pd.DataFrame) -> None:
    first = cells[cells["batch"] == cells["batch"].min()]
    if first["series"].nunique() != 1 or cells["batch"].nunique() < 2:
        first = first[first["series"] == "lars"]
    if len(first) == 1 and cells["batch"].nunique() > 1:
        one = first.iloc[0]
        own = Interval(low=float(one["low"]), high=float(one["high"]))
        draw_level(axes, float(one["accuracy"]), own, "")


# ── the words


def _verdict(evidence: Evidence, found: Sequence[Panel[BatchFinding]]) -> Verdict:
    known = [panel for panel in found if panel.members[0].found is not None]
    cannot = "the data cannot say how accuracy changes with the batch"
    if not known:
        reasons = [getattr(p.members[0].result, "reason", "") for p in found]
        why = reasons[0] if reasons else "no trial has finished"
        if len(evidence.observations.batches) == 1:
            why = f"only batch {batch_label(evidence.observations.batches[0])} was run"
        return Verdict(sentence(f"{why}: {cannot}"))
    if len(known) <= PANELS_TOLD:
        told = [f"with {panel.title} {_fall(panel.members[0].found)}" for panel in known]
        text = "; ".join(told)
    else:
        losses = [_last_loss(panel.members[0].found) for panel in known]
        values = [loss for loss in losses if loss is not None]
        text = (
            f"from the smallest to the largest batch accuracy changes by {signed(-max(values))} to "
            f"{signed(-min(values))} points over {count(len(values), 'setting')}"
        )
        if all(_last_limits(panel.members[0].found) is None for panel in known):
            text += ", without intervals: too few replicate seeds"
    return Verdict(sentence(text), tuple(_notes(evidence, known)))


def _last_loss(finding: BatchFinding | None) -> float | None:
    if finding is None or not finding.losses:
        return None
    return finding.losses[-1].loss.value


def _last_limits(finding: BatchFinding | None) -> Interval | None:
    return None if finding is None or not finding.losses else finding.losses[-1].loss.interval


def _fall(finding: BatchFinding | None) -> str:
    assert finding is not None
    text = "nothing is known of a larger batch"
    if finding.losses:
        last = finding.losses[-1]
        value, limits = last.loss.value, interval_words(last.loss.interval, _two)
        if value is None:
            text = f"the loss at batch {batch_label(last.batch)} is not known ({last.loss.reason})"
        else:
            bracket = (
                f"95{NBSP}% interval {limits}" if limits else f"no interval: {last.loss.reason}"
            )
            text = f"batch {batch_label(last.batch)} loses {value:.2f} points ({bracket})"
            text += " against the smallest batch"
    losing = finding.losing
    if losing.kind in (Kind.BOUNDED, Kind.UNBOUNDED) and losing.value is not None:
        text += f", and accuracy stays near its top up to batch {answer_words(losing, _batch)}"
    return text


def _two(value: float) -> str:
    return f"{value:.2f}"


def _batch(value: float) -> str:
    return f"{value:,.0f}"


def _notes(evidence: Evidence, known: Sequence[Panel[BatchFinding]]) -> list[str]:
    notes = ["The seeds that chose the LR are the ones reported: there are no confirmation seeds."]
    contrast = [
        f"{answer_words(one.entry.found.lars_minus_sgd, _two)} at batch "
        f"{batch_label(one.key.global_batch or 0)}"
        + ("" if one.key.epochs is None else f" and {count(one.key.epochs, 'epoch')}")
        for one in evidence.found("contrast")
        if one.entry.found is not None
    ]
    if contrast:
        notes.append(
            "LARS's change of accuracy from the smallest batch minus SGD's, in points: "
            f"{some(contrast, 4)}."
        )
    elif evidence.found("contrast"):
        reasons = sorted(
            {getattr(o.entry.result, "reason", "") for o in evidence.found("contrast")}
        )
        notes.append(f"LARS against SGD: {'; '.join(reasons)}.")
    ahead = [
        f"{answer_words(finding.next_accuracy, _two)} at batch {batch_label(finding.next_batch)} "
        f"with {panel.title}"
        for panel in known
        if (finding := panel.members[0].found) is not None
        and finding.next_accuracy.interval is not None
    ]
    if ahead and len(ahead) <= PANELS_TOLD:
        notes.append(f"One octave outside the data the curve predicts, in %: {some(ahead, 3)}.")
    if any(f is not None and f.steps.noise is None for f in (p.members[0].found for p in known)):
        notes.append(
            "Too few replicate seeds: cell means carry no interval, the size of seed noise "
            "is unknown."
        )
    return notes


def _table(evidence: Evidence, found: Sequence[Panel[BatchFinding]]) -> Table:
    rows, records = [], []
    for panel in found:
        entry = panel.members[0]
        if entry.found is None:
            continue
        told, epochs = entry.found, entry.key.epochs
        losses = {one.batch: one.loss for one in told.losses}
        cells = [row for row in cell_rows(told.steps) if row["epochs"] == epochs]
        for row in cells:
            batch, half = int(row["batch"]), row["high"] - row["accuracy"]
            loss = losses.get(batch)
            rows.append(
                (
                    panel.title, batch_label(batch), number(float(epochs or 0)),
                    f"{row['steps']:,.0f}",
                    f"{row['accuracy']:.2f}" + ("" if np.isnan(half) else f" ± {half:.2f}"),
                    "–" if loss is None else answer_cell(loss, _two),
                )
            )  # fmt: skip
            own = None if loss is None else loss.interval
            records.append(
                {
                    "setting": panel.title,
                    **{k: row[k] for k in ("batch", "epochs", "steps", "accuracy", "low", "high")},
                    "loss": None if loss is None else loss.value,
                    "loss_95_low": None if own is None else own.low,
                    "loss_95_high": None if own is None else own.high,
                }
            )  # fmt: skip
    observations = evidence.observations
    return Table(
        name="batch-accuracy",
        caption=f"Accuracy {reported_on(observations)} at a well-chosen LR with the half-width of "
        "its 95 % interval, and the points lost against the smallest batch at the same epochs with "
        "theirs.",
        head=("Stratum", "Batch", "Epochs", "Steps", reported_head(observations), "Loss, points"),
        numeric=(False, *[True] * 5),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
    )
