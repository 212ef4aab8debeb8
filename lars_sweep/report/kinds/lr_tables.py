"""The good LRs of every batch and the verdict on every LR, as tables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from lars_sweep.fit.analysis import Entry
from lars_sweep.fit.analysis.learning_rates import LrFinding
from lars_sweep.fit.answers import Kind
from lars_sweep.nouns import count
from lars_sweep.report.evidence import Panel
from lars_sweep.report.kinds.lr_measures import answer_record
from lars_sweep.report.kinds.lr_words import edge_ratio, has_edges, lrs_tried, why_no_edges
from lars_sweep.report.labels import batch_label, lr_label
from lars_sweep.report.tables import Table
from lars_sweep.report.wording import answer_cell


def good_lrs_table(found: Sequence[Panel[LrFinding]]) -> Table:
    """One row per batch that tried several LRs, one per reason for the others."""
    rows, records = [], []
    silent: dict[str, list[tuple[str, int]]] = {}
    for panel in found:
        for entry in panel.members:
            batch = entry.key.global_batch or 0
            records.append({"setting": panel.title, **_record(entry)})
            if lrs_tried(entry) < 2 and not has_edges(entry):
                silent.setdefault(why_no_edges(entry), []).append((panel.title, batch))
            else:
                rows.append((panel.title, batch_label(batch), *_cells(entry)))
    rows += [_silent_row(reason, settings) for reason, settings in silent.items()]
    deltas = [e.found.interval.delta for panel in found for e in panel.members if e.found]
    return Table(
        name="good-lrs",
        caption=f"LRs that lose at most {count(next(iter(deltas), 0.5), 'point')} against the "
        "batch's own plateau: edges with their 95 % intervals, in nominal base LR; the LR where "
        "half of the seeds diverge; sensitivity, the best mean minus the mean over all LRs tried, "
        "in points; LRs to add where an edge is not bracketed. (?): no interval. Batches that "
        "tried one LR at most share a line with all others of the same reason; the file has a "
        "line for each.",
        head=("Stratum", "Batch", "From", "To", "Octaves", "Plateau %", "σ of a seed",
              "Half diverge", "Sensitivity", "Add LRs"),
        numeric=(False, *[True] * 8, False),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
    )  # fmt: skip


def _silent_row(reason: str, settings: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """One row for all (panel, batch) of which nothing is known for the same reason."""
    titles = list(dict.fromkeys(title for title, _ in settings))
    ends = [batch_label(end(batch for _, batch in settings)) for end in (min, max)]
    told = "; ".join(titles[:2]) + (f" and {len(titles) - 2} more" if len(titles) > 2 else "")
    return (told, " – ".join(dict.fromkeys(ends)), reason, *["–"] * 7)


def _cells(entry: Entry[LrFinding]) -> tuple[str, ...]:
    found = entry.found
    if found is None:
        return (why_no_edges(entry), *["–"] * 7)
    one = found.interval
    ratio = edge_ratio(one)
    low = answer_cell(one.low, lr_label)
    if not has_edges(entry) and one.low.kind is Kind.NOT_IDENTIFIED:
        low = why_no_edges(entry)
    return (
        low,
        answer_cell(one.high, lr_label),
        "–" if ratio is None else f"{math.log2(ratio):.2f}",
        answer_cell(one.plateau, lambda value: f"{value:.2f}"),
        "–" if one.sigma is None else f"{one.sigma:.2g}",
        answer_cell(found.takeover, lr_label),
        "–" if one.sensitivity is None else f"{one.sensitivity:.2f}",
        ", ".join(lr_label(lr) for lr in one.add) or "–",
    )


def _record(entry: Entry[LrFinding]) -> dict[str, object]:
    record: dict[str, object] = {"global_batch": entry.key.global_batch, "epochs": entry.key.epochs}
    found = entry.found
    if found is None:
        return record | {"reason": why_no_edges(entry)}
    one = found.interval
    for name, answer in (("low", one.low), ("high", one.high), ("plateau", one.plateau),
                         ("half_diverge", found.takeover)):  # fmt: skip
        record |= answer_record(name, answer)
    return record | {
        "delta": one.delta, "sigma": one.sigma, "sigma_source": one.sigma_source,
        "metric": found.metric, "sensitivity": one.sensitivity,
        "lrs_to_add": " ".join(map(repr, one.add)), "reason": why_no_edges(entry),
    }  # fmt: skip


def verdicts_table(found: Sequence[Panel[LrFinding]]) -> Table:
    """One row per LR tried."""
    rows, records = [], []
    for panel in found:
        for entry in panel.members:
            if entry.found is None or lrs_tried(entry) < 2:
                continue
            for one in entry.found.interval.verdicts:
                at = one.diverged
                gap = "–"
                if one.gap is not None and one.gap.high is not None:
                    gap = f"{one.gap.low or 0.0:.2f} – {one.gap.high:.2f}"
                rows.append(
                    (
                        panel.title, batch_label(entry.key.global_batch or 0), lr_label(one.lr),
                        one.verdict,
                        "–" if one.accuracy is None else f"{one.accuracy:.2f}", f"{one.ok}",
                        f"{at.diverged}/{at.runs}" if at.diverged else "0",
                        f"{one.pruned}", gap,
                    )
                )  # fmt: skip
                records.append(
                    {
                        "setting": panel.title, "global_batch": entry.key.global_batch,
                        "epochs": entry.key.epochs, "lr": one.lr, "accuracy": one.accuracy,
                        "ok": one.ok, "diverged": at.diverged, "runs": at.runs,
                        "p_diverge": at.probability, "p_diverge_low": at.lower,
                        "p_diverge_high": at.upper, "pruned": one.pruned,
                        "behind_best_low": None if one.gap is None else one.gap.low,
                        "behind_best_high": None if one.gap is None else one.gap.high,
                        "verdict": one.verdict,
                    }
                )  # fmt: skip
    return Table(
        name="lr-verdicts",
        caption="Every LR of a batch that tried several, judged without any curve: in, where it "
        "is less than δ behind the best (simultaneous 95 % interval, multiple comparison with "
        "the best); out, where it is more than δ behind, or divergence has taken over; else "
        "undecided.",
        head=("Stratum", "Batch", "LR", "Verdict", "Mean %", "ok", "Diverged", "Pruned",
              "Behind the best"),
        numeric=(False, True, True, False, *[True] * 5),
        rows=tuple(rows),
        frame=pd.DataFrame(records),
    )  # fmt: skip
