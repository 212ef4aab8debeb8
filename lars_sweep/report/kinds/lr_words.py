"""Which learning rates are good, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lars_sweep.fit.analysis import Entry
from lars_sweep.fit.analysis.learning_rates import LrFinding
from lars_sweep.fit.answers import Answer, Kind
from lars_sweep.fit.lr_interval import LrInterval
from lars_sweep.nouns import count
from lars_sweep.report.evidence import Evidence, Panel
from lars_sweep.report.labels import NBSP, batch_label, lr_label
from lars_sweep.report.verdicts import Verdict
from lars_sweep.report.wording import answer_words, sentence, some

PANELS_TOLD = 3


def lrs_tried(entry: Entry[LrFinding]) -> int:
    """How many LRs an entry compared."""
    return 0 if entry.found is None else len(entry.found.interval.verdicts)


def delta_of(evidence: Evidence) -> float:
    """The tolerated loss in points."""
    return next(iter(evidence.analyses.values())).options.delta


def lr_verdict(evidence: Evidence, found: Sequence[Panel[LrFinding]]) -> Verdict:
    """The sentence, and what a reader must know to judge it."""
    entries = [entry for panel in found for entry in panel.members]
    known = [entry for entry in entries if has_edges(entry)]
    if not known:
        why = _why(entries)
        return Verdict(
            sentence(f"The data cannot say which LRs are good: {why}"),
            tuple(_notes(evidence, found)),
        )
    delta = f"{count(delta_of(evidence), 'point')} of the plateau"
    if len(found) <= PANELS_TOLD:
        told = [_panel_words(panel) for panel in found]
        text = f"Good LRs, within {delta}: {'; '.join(told)}"
    else:
        both = [e.found for e in known if e.found is not None and edge_ratio(e.found.interval)]
        sure = sum(_bracketed(found) for found in both)
        text = f"Both edges of the good LRs, within {delta}, are known in {len(both)} of "
        text += f"{count(len(entries), 'setting')}, in {sure} of them with a 95{NBSP}% interval"
        widths = [math.log2(edge_ratio(found.interval) or 1.0) for found in both]
        if widths:
            text += f"; the good LRs span {min(widths):.1f} to {max(widths):.1f} octaves"
    return Verdict(sentence(text), tuple(_notes(evidence, found)))


def has_edges(entry: Entry[LrFinding]) -> bool:
    """Whether at least one edge was found."""
    found = entry.found
    if found is None:
        return False
    return found.interval.low.value is not None or found.interval.high.value is not None


def _bracketed(found: LrFinding) -> bool:
    return all(end.kind is Kind.BOUNDED for end in (found.interval.low, found.interval.high))


def edge_ratio(interval: LrInterval) -> float | None:
    """Upper edge over lower edge, None where one of them is not known."""
    low, high = interval.low.value, interval.high.value
    return None if low is None or high is None or low <= 0 else high / low


def _why(entries: Sequence[Entry[LrFinding]]) -> str:
    """The commonest reason for there being no edge."""
    reasons = [why_no_edges(entry) for entry in entries]
    if not reasons:
        return "no trial has finished"
    most = max(sorted(set(reasons)), key=reasons.count)
    if len(set(reasons)) == 1:
        return most
    return f"{most} (and other reasons, see the table)"


def why_no_edges(entry: Entry[LrFinding]) -> str:
    """Why an edge is not known, empty where both are."""
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
    known = [entry for entry in panel.members if has_edges(entry)]
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
            if not has_edges(entry):
                reasons.setdefault(why_no_edges(entry), []).append(name)
            elif interval is not None and interval.sigma is None:
                no_sigma.append(name)
            if interval is not None and interval.add and lrs_tried(entry) > 1:
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
