"""Which learning rates are good at each batch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from lars_sweep.fit.analysis import Entry
from lars_sweep.fit.analysis.learning_rates import LrFinding
from lars_sweep.fit.answers import Answer, Kind
from lars_sweep.fit.lr_interval import LrInterval
from lars_sweep.nouns import count
from lars_sweep.report.evidence import MOST_PANELS, Evidence, Panel, panels
from lars_sweep.report.kinds.lr_interval_figure import draw_lr, lr_frame
from lars_sweep.report.kinds.lr_measures import answer_record, measures_table
from lars_sweep.report.labels import NBSP, batch_label, chosen_on, lr_label
from lars_sweep.report.sections import Drawing, Section
from lars_sweep.report.tables import Table
from lars_sweep.report.verdicts import Verdict
from lars_sweep.report.wording import answer_cell, answer_words, sentence, some

PANELS_TOLD = 3


def lr_interval_section(evidence: Evidence) -> Section:
    """The good LRs of every batch (the paper's Figure 3)."""
    found = panels(evidence.found("lr_interval"), by_epochs=True)
    several = [panel for panel in found if any(_lrs(entry) > 1 for entry in panel.members)]
    shown = several[:MOST_PANELS]
    frame = lr_frame(evidence, shown)
    drawing = Drawing(
        name="accuracy-vs-lr",
        alt=f"Accuracy {chosen_on(evidence.observations)} against base learning rate, one "
        "colour per global batch and one panel per optimizer; bars below show the good LRs, "
        "crosses the diverged ones.",
        caption=_caption(evidence, several, frame),
        draw=lambda: draw_lr(evidence, shown, frame),
        frame=frame.drop(columns=["panel", "row"]),
    )
    return Section(
        kind="lr-interval",
        title="Good learning rates",
        verdict=_verdict(evidence, found),
        drawings=() if frame.empty else (drawing,),
        tables=(_table(found), measures_table(found), _verdicts_table(found)) if found else (),
    )


def _lrs(entry: Entry[LrFinding]) -> int:
    return 0 if entry.found is None else len(entry.found.interval.verdicts)


def _caption(evidence: Evidence, found: Sequence[Panel[LrFinding]], frame: pd.DataFrame) -> str:
    delta = _delta(evidence)
    parts = [
        "Dots are single seeds, markers the mean of the ok seeds with the 95 % interval from the "
        "seeds' pooled spread.",
    ]
    if (frame["what"] == "fit").any():
        parts.append(
            "Line: fitted flat top, thick over the LRs that lose at most "
            f"{count(delta, 'point')} against its plateau, whose 95 % interval is shaded; LRs far "
            "below it count little. A batch without a fit has its means joined by a thin line."
        )
    if (frame["what"] == "not excluded").any():
        parts.append(
            "Bars below, a line per batch: dark where an LR is good, 97.5 % sure at each end; "
            "light where it is not excluded; an arrow head where the tested LRs do not bracket "
            "the edge."
        )
    if (frame["what"] == "diverged").any():
        parts.append(
            "Red crosses: LRs at which seeds diverged; thin where k of r did, with k/r where there "
            "is room for it."
        )
    if len(found) > MOST_PANELS:
        parts.append(f"The first {MOST_PANELS} of {len(found)} panels; the tables hold all.")
    return " ".join(parts)


def _delta(evidence: Evidence) -> float:
    return next(iter(evidence.analyses.values())).options.delta


# ── the verdict


def _verdict(evidence: Evidence, found: Sequence[Panel[LrFinding]]) -> Verdict:
    entries = [entry for panel in found for entry in panel.members]
    known = [entry for entry in entries if _has_edges(entry)]
    if not known:
        why = _why(entries)
        return Verdict(
            sentence(f"The data cannot say which LRs are good: {why}"),
            tuple(_notes(evidence, found)),
        )
    delta = f"{count(_delta(evidence), 'point')} of the plateau"
    if len(found) <= PANELS_TOLD:
        told = [_panel_words(panel) for panel in found]
        text = f"Good LRs, within {delta}: {'; '.join(told)}"
    else:
        both = [e.found for e in known if e.found is not None and _ratio(e.found.interval)]
        sure = sum(_bracketed(found) for found in both)
        text = f"Both edges of the good LRs, within {delta}, are known in {len(both)} of "
        text += f"{count(len(entries), 'setting')}, in {sure} of them with a 95{NBSP}% interval"
        widths = [math.log2(_ratio(found.interval) or 1.0) for found in both]
        if widths:
            text += f"; the good LRs span {min(widths):.1f} to {max(widths):.1f} octaves"
    return Verdict(sentence(text), tuple(_notes(evidence, found)))


def _has_edges(entry: Entry[LrFinding]) -> bool:
    found = entry.found
    if found is None:
        return False
    return found.interval.low.value is not None or found.interval.high.value is not None


def _bracketed(found: LrFinding) -> bool:
    return all(end.kind is Kind.BOUNDED for end in (found.interval.low, found.interval.high))


def _ratio(interval: LrInterval) -> float | None:
    low, high = interval.low.value, interval.high.value
    return None if low is None or high is None or low <= 0 else high / low


def _why(entries: Sequence[Entry[LrFinding]]) -> str:
    """The commonest reason for there being no edge."""
    reasons = [_reason(entry) for entry in entries]
    if not reasons:
        return "no trial has finished"
    most = max(sorted(set(reasons)), key=reasons.count)
    if len(set(reasons)) == 1:
        return most
    return f"{most} (and other reasons, see the table)"


def _reason(entry: Entry[LrFinding]) -> str:
    if not isinstance(entry.result, LrFinding):
        return entry.result.reason
    interval = entry.result.interval
    verdicts = interval.verdicts
    if verdicts and not any(one.ok for one in verdicts):
        ends = {"diverged": any(one.diverged.diverged for one in verdicts),
                "pruned": any(one.pruned for one in verdicts)}  # fmt: skip
        return f"all runs {' or '.join(name for name, there in ends.items() if there)}"
    return interval.low.reason or interval.high.reason


def _panel_words(panel: Panel[LrFinding]) -> str:
    known = [entry for entry in panel.members if _has_edges(entry)]
    if not known:
        return f"with {panel.title} the data cannot say ({_why(panel.members)})"
    ends = known if len(known) == 1 else [known[0], known[-1]]
    return f"with {panel.title} {' and '.join(_span_words(entry) for entry in ends)}"


def _span_words(entry: Entry[LrFinding]) -> str:
    """``0.18 to 1.2 (edges 0.17–0.19 and 0.98–1.4) at batch 256``."""
    assert entry.found is not None
    low, high = entry.found.interval.low, entry.found.interval.high
    where = f"at batch {batch_label(entry.key.global_batch or 0)}"
    if low.value is None:
        span = f"up to {_edge(high)}, open below,"
    elif high.value is None:
        span = f"from {_edge(low)} up, open above,"
    else:
        span = f"from {_edge(low)} to {_edge(high)}"
    return f"{span} {where}"


def _edge(edge: Answer) -> str:
    assert edge.value is not None
    if edge.interval is None:
        return f"{lr_label(edge.value)} (no interval)"
    ends = [edge.interval.low, edge.interval.high]
    low, high = ("?" if end is None else lr_label(end) for end in ends)
    return f"{lr_label(edge.value)} (95{NBSP}%: {low} to {high})"


def _notes(evidence: Evidence, found: Sequence[Panel[LrFinding]]) -> list[str]:
    notes = []
    reasons: dict[str, list[str]] = {}
    add, no_sigma = [], []
    for panel in found:
        for entry in panel.members:
            name = f"{panel.title} at batch {batch_label(entry.key.global_batch or 0)}"
            interval = None if entry.found is None else entry.found.interval
            if not _has_edges(entry):
                reasons.setdefault(_reason(entry), []).append(name)
            elif interval is not None and interval.sigma is None:
                no_sigma.append(name)
            if interval is not None and interval.add and _lrs(entry) > 1:
                add.append(f"{name}: {', '.join(lr_label(lr) for lr in interval.add)}")
    if reasons:
        told = [f"{some(names, 2)} ({why})" for why, names in sorted(reasons.items())]
        notes.append(f"The data cannot say for {'; '.join(told)}.")
    if add:
        rest = "" if len(add) <= 4 else f"; and {len(add) - 4} more, see the table"
        notes.append(f"An edge is not bracketed; LRs to add: {'; '.join(add[:4])}{rest}.")
    if no_sigma:
        notes.append(
            f"Too few replicate seeds to know the noise: no interval for {some(no_sigma, 3)}. Add "
            "seeds, or state sigma."
        )
    notes += _doubts(found)
    notes += _width_notes(evidence)
    if any(e.found and any(v.pruned for v in e.found.interval.verdicts)
           for p in found for e in p.members):  # fmt: skip
        notes.append("A pruned LR is untested beyond its step: neither in nor out.")
    return notes


def _doubts(found: Sequence[Panel[LrFinding]]) -> list[str]:
    """Where a stated sigma or the grid of LRs does not bear what is said of the edges."""
    known = [
        (f"{panel.title} at batch {batch_label(entry.key.global_batch or 0)}", entry.found.interval)
        for panel in found
        for entry in panel.members
        if entry.found is not None
    ]
    against = [f"{name}: {one.sigma_note}" for name, one in known if one.sigma_note]
    coarse = [
        f"{name}: {', '.join(lr_label(lr) for lr in one.strays)}"
        for name, one in known
        if one.strays
    ]
    notes = []
    if against:
        notes.append(f"Every interval rests on a sigma that the seeds reject; {some(against, 3)}.")
    if coarse:
        notes.append(
            "LRs too far apart to place an edge between them; as good as the best, though outside "
            f"the edges, are {some(coarse, 3)}. Add LRs in between."
        )
    return notes


def _width_notes(evidence: Evidence) -> list[str]:
    ratios = evidence.found("width_ratio")
    told = [
        f"{answer_words(one.entry.found, '{:.2f}'.format)} at batch "
        f"{batch_label(one.key.global_batch or 0)}"
        for one in ratios
        if one.entry.found is not None and one.entry.found.value is not None
    ]
    if told:
        return [f"LARS's good interval is as wide as SGD's, in octaves, times {some(told, 4)}."]
    reasons = sorted({str(getattr(one.entry.result, "reason", "")) for one in ratios})
    return [f"Width of LARS's good interval over SGD's: {'; '.join(reasons)}."] if reasons else []


# ── tables


def _table(found: Sequence[Panel[LrFinding]]) -> Table:
    rows, records = [], []
    silent: dict[str, list[tuple[str, int]]] = {}
    for panel in found:
        for entry in panel.members:
            batch = entry.key.global_batch or 0
            records.append({"setting": panel.title, **_record(entry)})
            if _lrs(entry) < 2 and not _has_edges(entry):
                silent.setdefault(_reason(entry), []).append((panel.title, batch))
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
        return (_reason(entry), *["–"] * 7)
    one = found.interval
    ratio = _ratio(one)
    low = answer_cell(one.low, lr_label)
    return (
        _reason(entry) if not _has_edges(entry) and one.low.kind is Kind.NOT_IDENTIFIED else low,
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
        return record | {"reason": _reason(entry)}
    one = found.interval
    for name, answer in (("low", one.low), ("high", one.high), ("plateau", one.plateau),
                         ("half_diverge", found.takeover)):  # fmt: skip
        record |= answer_record(name, answer)
    return record | {
        "delta": one.delta, "sigma": one.sigma, "sigma_source": one.sigma_source,
        "metric": found.metric, "sensitivity": one.sensitivity,
        "lrs_to_add": " ".join(map(repr, one.add)), "reason": _reason(entry),
    }  # fmt: skip


def _verdicts_table(found: Sequence[Panel[LrFinding]]) -> Table:
    """One row per LR tried."""
    rows, records = [], []
    for panel in found:
        for entry in panel.members:
            if entry.found is None or _lrs(entry) < 2:
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
