"""The good LRs in the other measures of an LR, and against the smallest batch's plateau."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from lars_sweep.fit.analysis import Entry
from lars_sweep.fit.analysis.learning_rates import EffectiveLr, LrFinding
from lars_sweep.fit.answers import Answer, Kind
from lars_sweep.fit.baseline import BaselineInterval
from lars_sweep.fit.lr_interval import LrInterval
from lars_sweep.report.evidence import Panel
from lars_sweep.report.labels import batch_label, lr_label
from lars_sweep.report.tables import Table
from lars_sweep.report.wording import answer_cell


def measures_table(found: Sequence[Panel[LrFinding]]) -> Table:
    """One row per batch with fitted edges."""
    rows, records = [], []
    for panel in found:
        for entry in panel.members:
            if entry.found is None or not _any(entry.found.interval):
                continue
            rows.append((panel.title, batch_label(entry.key.global_batch or 0), *_cells(entry)))
            records.append({"setting": panel.title, **_record(entry)})
    return Table(
        name="good-lrs-measures",
        caption="The same edges as largest LR of the schedule, as γη (LARS) and as measured "
        "effective LR (mean γλ over training and tensors), their intervals in the file; and the "
        "LRs that stay within δ of the baseline batch's plateau instead of the batch's own, with "
        "the points by which its own plateau lies below it, and 95 % intervals.",
        head=("Stratum", "Batch", "Largest γ", "γη", "Effective LR", "Baseline", "Keeps up from",
              "To", "Plateau lost"),
        numeric=(False, *[True] * 8),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
    )  # fmt: skip


def _any(interval: LrInterval) -> bool:
    return any(end.kind is not Kind.NOT_IDENTIFIED for end in (interval.low, interval.high))


def _cells(entry: Entry[LrFinding]) -> tuple[str, ...]:
    found = entry.found
    assert found is not None
    versus = found.versus_baseline
    against = ("–", "–", "–", "–")
    if isinstance(versus, BaselineInterval):
        against = (
            batch_label(versus.batch),
            answer_cell(versus.low, lr_label),
            answer_cell(versus.high, lr_label),
            answer_cell(versus.lost, lambda points: f"{points:.2f}"),
        )
    return (*(_span(one) for one in (found.peak, found.gamma_eta, found.effective)), *against)


def _span(found: object) -> str:
    if not isinstance(found, (LrInterval, EffectiveLr)):
        return "–"
    ends = [found.low.value, found.high.value]
    if ends == [None, None]:
        return "–"
    low, high = ("?" if end is None else lr_label(end) for end in ends)
    return f"{low} – {high}"


def _record(entry: Entry[LrFinding]) -> dict[str, object]:
    found = entry.found
    assert found is not None
    record: dict[str, object] = {"global_batch": entry.key.global_batch, "epochs": entry.key.epochs}
    for name, one in (
        ("lr_peak", found.peak), ("gamma_eta", found.gamma_eta),
        ("effective_lr", found.effective), ("keeps_up", found.versus_baseline),
    ):  # fmt: skip
        if isinstance(one, (LrInterval, EffectiveLr, BaselineInterval)):
            record |= answer_record(f"{name}_low", one.low)
            record |= answer_record(f"{name}_high", one.high)
        else:
            record[f"{name}_reason"] = one.reason
    if isinstance(found.versus_baseline, BaselineInterval):
        record["baseline_batch"] = found.versus_baseline.batch
        record |= answer_record("plateau_lost", found.versus_baseline.lost)
    return record


def answer_record(name: str, answer: Answer) -> dict[str, object]:
    """Value, kind and limits of an answer as columns of a frame."""
    own = answer.interval
    return {
        name: answer.value, f"{name}_kind": answer.kind.value,
        f"{name}_95_low": None if own is None else own.low,
        f"{name}_95_high": None if own is None else own.high,
    }  # fmt: skip
