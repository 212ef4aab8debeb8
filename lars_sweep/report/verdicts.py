"""One plain sentence per section: what is seen, or that the data cannot say.

Nothing here is an estimate: means come with their standard deviation and n, and no sentence
claims a difference, since no interval is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lars_sweep.report.labels import (
    accuracy_label,
    batch_label,
    count,
    listed,
    lr_label,
    panel_labels,
)
from lars_sweep.report.observations import Observations, epochs_strata, rows_of

PANELS_TOLD = 3
"""With more panels than this a sentence counts instead of telling each."""
NAMES_TOLD = 6
ENDED = {"ok": "ended ok", "diverged": "diverged", "pruned": "ended pruned"}
Row = Any
"""A row of ``DataFrame.itertuples``."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The opening sentence of a section, and what a reader must know to judge it."""

    sentence: str
    notes: tuple[str, ...] = ()


def outcomes_verdict(observations: Observations) -> Verdict:
    """How many trials ended how."""
    strata = observations.strata
    totals = {name: int(strata[name].sum()) for name in ("ok", "diverged", "pruned", "failed")}
    counted = sum(totals.values()) - totals["failed"]
    notes = []
    if totals["failed"]:
        notes.append(
            f"{count(totals['failed'], 'trial')} failed for reasons of infrastructure and "
            f"{'counts' if totals['failed'] == 1 else 'count'} nowhere."
        )
    if not counted:
        return Verdict("No trial has finished: there is nothing to say yet.", tuple(notes))
    if totals["pruned"]:
        notes.append("A pruned trial is censored: what it would have reached is not known.")
    where = "1 stratum" if len(strata) == 1 else f"{len(strata):,} strata"
    ends = {name: totals[name] for name in ENDED if totals[name]}
    if len(ends) == 1:
        (status,) = ends
        return Verdict(f"{_all(counted)} in {where} {ENDED[status]}.", tuple(notes))
    told = listed(f"{n:,} {ENDED[name]}" for name, n in ends.items())
    return Verdict(f"Of {count(counted, 'trial')} in {where}, {told}.", tuple(notes))


def lr_verdict(observations: Observations) -> Verdict:
    """Where the best tested LR lies, and whether the grid brackets it."""
    strata, labels = _chosen(observations)
    if strata.empty:
        return Verdict(f"{_why_none(observations)}: the data cannot say which LR is best.")
    ends = _ends(strata, "global_batch")
    several = [(a, b) for a, b in ends if a.global_batch != b.global_batch]
    if len(ends) <= PANELS_TOLD:
        told = [_lr_phrase(a, b, labels[a.panel]) for a, b in ends]
        sentence = f"The best tested LR {_with_one_verb(told)}."
    elif several:
        changes = _changes([(a.base_lr, b.base_lr) for a, b in several])
        sentence = f"From the smallest to the largest batch the best tested LR {changes}."
    else:
        low, high = lr_label(strata["base_lr"].min()), lr_label(strata["base_lr"].max())
        sentence = f"The best tested LR lies between {low} and {high} over {len(ends)} panels."
    return Verdict(sentence, tuple(_lr_notes(observations, strata, labels)))


def batch_verdict(observations: Observations) -> Verdict:
    """How accuracy at the chosen LR goes with the batch."""
    strata, labels = _chosen(observations)
    cannot = "the data cannot say how accuracy changes with the batch"
    if len(observations.batches) == 1:
        (batch,) = observations.batches
        return Verdict(f"Only batch {batch_label(batch)} was run: {cannot}.")
    if strata.empty:
        return Verdict(f"{_why_none(observations)}: {cannot}.")
    ends = [(a, b) for a, b in _ends(strata, "global_batch") if a.global_batch != b.global_batch]
    if not ends:
        return Verdict(f"No panel has a chosen LR at more than one batch: {cannot}.")
    told = [
        f"from {_report(a)} at batch {batch_label(a.global_batch)} to {_report(b)} at batch "
        f"{batch_label(b.global_batch)} with {labels[a.panel]}"
        for a, b in ends
    ]
    if len(ends) <= PANELS_TOLD:
        sentence = f"At the chosen LR, accuracy on test goes {listed(told)}."
    else:
        changes = _changes([(a.report_mean, b.report_mean) for a, b in ends])
        sentence = (
            f"From the smallest to the largest batch, mean accuracy on test at the chosen LR "
            f"{changes}."
        )
    return Verdict(sentence, tuple(_reporting_notes(strata)))


def epochs_verdict(observations: Observations) -> Verdict:
    """How accuracy at the chosen LR goes with the epochs, where these vary."""
    lines = epochs_strata(observations)
    cannot = "the data cannot say what longer training buys"
    epochs = sorted(observations.strata["epochs"].unique())
    if len(epochs) == 1:
        return Verdict(f"All trials were set to {epochs[0]:g} epochs: {cannot}.")
    if lines.empty:
        if observations.strata["point_id"].isna().all():
            return Verdict(f"{_why_none(observations)}: {cannot}.")
        return Verdict(f"No batch has a chosen LR at more than one number of epochs: {cannot}.")
    labels = panel_labels(lines, [f for f in observations.panel_fields if f != "epochs"])
    ends = _ends(lines, "epochs", by=("panel", "global_batch"))
    a, b = max(ends, key=lambda pair: abs(pair[1].report_mean - pair[0].report_mean))
    change = (
        f"{_report(a)} at {a.epochs:g} epochs to {_report(b)} at {b.epochs:g} epochs "
        f"({labels[b.panel]}, batch {batch_label(b.global_batch)})"
    )
    if len(ends) == 1:
        return Verdict(f"Accuracy on test goes from {change}.", tuple(_reporting_notes(lines)))
    changes = _changes([(x.report_mean, y.report_mean) for x, y in ends], "case")
    sentence = (
        f"From the fewest to the most epochs, mean accuracy on test {changes}; most of all it "
        f"changes from {change}."
    )
    return Verdict(sentence, tuple(_reporting_notes(lines)))


def curves_verdict(observations: Observations) -> Verdict:
    """Where the train loss ends at the chosen LR."""
    strata, labels = _chosen(observations)
    if strata.empty:
        return Verdict(f"{_why_none(observations)}: there is no chosen LR to draw curves of.")
    curves = observations.curves.dropna(subset="train_loss")
    if curves.empty:
        return Verdict("No evaluation of a chosen trial is recorded: there are no curves to draw.")
    last = curves.groupby("trial_id").last()
    ended = last.groupby(["panel", "global_batch"])["train_loss"]
    told = ended.agg(mean="mean", sd="std", seeds="size").reset_index()
    ends = _ends(told, "global_batch")
    if len(ends) > PANELS_TOLD:
        low, high = told["mean"].min(), told["mean"].max()
        return Verdict(
            f"At the chosen LR the mean train loss ends between {low:.3g} and {high:.3g} nats over "
            f"{len(told)} strata."
        )
    return Verdict(
        "At the chosen LR the train loss ends at "
        f"{listed(_loss_phrase(a, b, labels[a.panel]) for a, b in ends)}."
    )


def _chosen(observations: Observations) -> tuple[pd.DataFrame, dict[int, str]]:
    strata = observations.strata
    labels = panel_labels(strata, observations.panel_fields)
    return strata.dropna(subset="point_id"), labels


def _why_none(observations: Observations) -> str:
    """Why no stratum has a chosen point."""
    statuses = set(observations.trials["status"])
    if not statuses:
        return "No trial has finished"
    if "ok" in statuses:
        return "No point has all its seeds run to the end"
    ends = " or ".join(ENDED[status] for status in sorted(statuses))
    return f"{_all(len(observations.trials))} {ends}"


def _all(n: int) -> str:
    return "The only trial" if n == 1 else f"All {n:,} trials"


def none_reason(stratum: pd.Series) -> str:
    """Why one stratum has no chosen point, in two or three words."""
    if not stratum["ok"] + stratum["diverged"] + stratum["pruned"]:
        return "none finished"
    if stratum["ok"]:
        return "seeds pruned"
    if not stratum["pruned"]:
        return "all diverged"
    return "all diverged or pruned" if stratum["diverged"] else "all pruned"


def _ends(
    frame: pd.DataFrame, column: str, by: Sequence[str] = ("panel",)
) -> list[tuple[Row, Row]]:
    """The first and the last row along ``column`` of every group."""
    pairs: list[tuple[Row, Row]] = []
    for _, group in frame.groupby(list(by), sort=True):
        rows = rows_of(group.sort_values(column))
        pairs.append((rows[0], rows[-1]))
    return pairs


def _changes(pairs: Sequence[tuple[float, float]], noun: str = "panel") -> str:
    """``rises in 3 of 5 panels, falls in 1 and stays in 1``; ``rises in all 5 panels``."""
    told = {
        "rises": sum(a < b for a, b in pairs),
        "falls": sum(a > b for a, b in pairs),
        "stays": sum(a == b for a, b in pairs),
    }
    (verb, n), *rest = [(verb, n) for verb, n in told.items() if n]
    if not rest and n > 1:
        return f"{verb} in all {count(n, noun)}"
    first = f"{verb} in {n} of {count(len(pairs), noun)}"
    return listed([first, *(f"{verb} in {n}" for verb, n in rest)])


def _lr_phrase(a: Row, b: Row, label: str) -> str:
    if a.global_batch == b.global_batch:
        where = f"at batch {batch_label(a.global_batch)} with {label}"
        seen = accuracy_label(a.choice_mean, a.choice_sd, a.n)
        return f"is {lr_label(a.base_lr)} {where}, which reached {seen}"
    return (
        f"goes from {lr_label(a.base_lr)} at batch {batch_label(a.global_batch)} to "
        f"{lr_label(b.base_lr)} at batch {batch_label(b.global_batch)} with {label}"
    )


def _with_one_verb(phrases: Sequence[str]) -> str:
    """Drops the verb of later phrases where it is that of the first."""
    first, *rest = phrases
    verb = first.split(" ", 1)[0] + " "
    return listed([first, *(phrase.removeprefix(verb) for phrase in rest)])


def _loss_phrase(a: Row, b: Row, label: str) -> str:
    told = [
        f"{row.mean:.3g}{'' if pd.isna(row.sd) else f' ± {row.sd:.2g}'} (n = {row.seeds}) at "
        f"batch {batch_label(row.global_batch)}"
        for row in ((a,) if a.global_batch == b.global_batch else (a, b))
    ]
    return f"{listed(told)} with {label}"


def _report(row: Row) -> str:
    return accuracy_label(row.report_mean, row.report_sd, row.n)


def _lr_notes(
    observations: Observations, strata: pd.DataFrame, labels: dict[int, str]
) -> list[str]:
    notes = []
    edges = strata[strata["edge"] != ""]
    if len(edges):
        sides = {"lower": "lower edge", "upper": "upper edge", "both": "only one LR"}
        names = [f"{_name(row, labels)} ({sides[row.edge]})" for row in rows_of(edges)]
        notes.append(
            f"The best tested LR is at the edge of the finished LRs for {_some(names)}: a better "
            "one may lie beyond."
        )
    none = observations.strata[observations.strata["point_id"].isna()]
    if len(none):
        names = [
            f"{_name(row, labels)} ({none_reason(none.loc[row.Index])})" for row in rows_of(none)
        ]
        notes.append(f"No LR could be chosen for {_some(names)}.")
    if observations.points["seeds"].max() == 1:
        notes.append("One seed per point: seed noise is unknown, close LRs cannot be told apart.")
    if observations.searched:
        names = [name.replace("_", " ") for name in observations.searched]
        notes.append(
            f"Searched together with the LR: {listed(names)}. Points differ in more than the LR, "
            "so no line joins them."
        )
    if (observations.trials["status"] == "pruned").any():
        notes.append(
            "Pruned trials are drawn hollow at the accuracy last seen; points with a pruned seed "
            "are not eligible to be chosen."
        )
    return notes


def _reporting_notes(strata: pd.DataFrame) -> list[str]:
    notes = ["The seeds that chose the LR are the ones reported: there are no confirmation seeds."]
    if strata["n"].max() == 1:
        notes.append("One seed per point: the size of seed noise is unknown.")
    if (strata["edge"] != "").any():
        notes.append("Hollow: the LR is at the edge of those tested, so accuracy may be too low.")
    return notes


def _name(row: Row, labels: dict[int, str]) -> str:
    return f"{labels[row.panel]} at batch {batch_label(row.global_batch)}"


def _some(names: Sequence[str]) -> str:
    if len(names) <= NAMES_TOLD:
        return listed(names)
    return f"{', '.join(names[:NAMES_TOLD])} and {len(names) - NAMES_TOLD} more"
