"""Our outcomes beside the paper's tables, with what was done differently."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from lars_sweep.report.against import PUBLISHED_SIGMA, Beside, Comparison, comparison_record
from lars_sweep.report.exports import flat_record
from lars_sweep.report.labels import batch_label, field_label, lr_label, signed
from lars_sweep.report.observations import RUN
from lars_sweep.report.sections import Section
from lars_sweep.report.tables import Table
from lars_sweep.report.verdicts import Verdict
from lars_sweep.report.wording import answer_cell, sentence


def against_section(comparisons: Mapping[str, Comparison]) -> Section:
    """One table over all runs.

    Args:
        comparisons: run label (empty for an only run) → its comparison.
    """
    rows = [(run, row) for run, comparison in comparisons.items() for row in comparison.rows]
    return Section(
        kind="against",
        title="Beside the paper",
        verdict=_verdict(comparisons, [row for _, row in rows]),
        tables=(_table(rows),) if rows else (),
    )


def _verdict(comparisons: Mapping[str, Comparison], rows: list[Beside]) -> Verdict:
    if not rows:
        reasons = "; ".join(dict.fromkeys(c.reason for c in comparisons.values()))
        return Verdict(sentence(f"nothing here has a counterpart in the paper's tables: {reasons}"))
    known = [row for row in rows if row.delta.interval is not None]
    apart = [row for row in known if row.delta.interval and 0.0 not in row.delta.interval]
    notes = [
        f"Published numbers are single runs; {PUBLISHED_SIGMA} points are assumed as their "
        "standard deviation.",
        *(f"Different: {text}." for text in _shared(rows)),
    ]
    if not known:
        told = f"{_accuracies(len(rows))} a counterpart, none with an interval"
        return Verdict(
            sentence(f"{told}: one seed a batch cannot say whether they differ"), tuple(notes)
        )
    largest = max(known, key=lambda row: abs(row.delta.value or 0.0))
    return Verdict(
        f"{_accuracies(len(known))} a counterpart, {len(apart)} outside the "
        f"95 % interval; the largest difference is {signed(largest.delta.value or 0.0)} points at "
        f"batch {batch_label(largest.key.global_batch or 0)}.",
        tuple(notes),
    )


def _accuracies(n: int) -> str:
    return "1 published accuracy has" if n == 1 else f"{n} published accuracies have"


def _shared(rows: list[Beside]) -> list[str]:
    """Differences of protocol that all rows have."""
    return [text for text in rows[0].differences if all(text in row.differences for row in rows)]


def _table(rows: list[tuple[str, Beside]]) -> Table:
    shared = _shared([row for _, row in rows])
    several = len({run for run, _ in rows}) > 1
    return Table(
        name="against-paper",
        caption="Accuracy at the chosen LR beside the published one; ours minus published with its "
        "95 % interval; points lost against the smallest batch, published and ours; what was done "
        "differently in this row.",
        head=(
            "Setting",
            "Batch",
            "Epochs",
            "Published %",
            "Ours %",
            "Ours − published",
            "Lost, published",
            "Lost, ours",
            "LR, published",
            "LR, ours",
            "Different",
        ),
        numeric=(False, *[True] * 9, False),
        rows=tuple(_cells(run if several else "", row, shared) for run, row in rows),
        frame=_frame(rows),
    )


def _cells(run: str, row: Beside, shared: list[str]) -> tuple[str, ...]:
    setting = [field_label(name, value) for name, value in row.key.conditions if value is not None]
    return (
        ", ".join([*([run] if run else []), *setting]),
        batch_label(row.key.global_batch or 0),
        f"{row.key.epochs:g}",
        f"{row.published:.1f}",
        answer_cell(row.ours, lambda value: f"{value:.2f}"),
        answer_cell(row.delta, signed),
        _points(row.published_loss),
        _points(row.our_loss),
        "–" if row.published_lr is None else lr_label(row.published_lr),
        "–" if row.our_lr is None else lr_label(row.our_lr),
        "; ".join(text for text in row.differences if text not in shared) or "–",
    )


def _points(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _frame(rows: list[tuple[str, Beside]]) -> pd.DataFrame:
    """Every digit, answers as value, limits and kind."""
    records = [{RUN: run, **flat_record(comparison_record(row))} for run, row in rows]
    return pd.DataFrame(records)
