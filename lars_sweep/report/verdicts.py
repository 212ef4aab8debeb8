"""What was run and how its training went, in one plain sentence each; nothing here is a fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lars_sweep.nouns import count
from lars_sweep.report.labels import batch_label, listed, panel_labels
from lars_sweep.report.observations import Observations, rows_of

PANELS_TOLD = 3
"""With more panels than this a sentence counts instead of telling each."""
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
    where = count(len(strata), "stratum")
    ends = {name: totals[name] for name in ENDED if totals[name]}
    if len(ends) == 1:
        (status,) = ends
        return Verdict(f"{_all(counted)} in {where} {ENDED[status]}.", tuple(notes))
    told = listed(f"{n:,} {ENDED[name]}" for name, n in ends.items())
    return Verdict(f"Of {count(counted, 'trial')} in {where}, {told}.", tuple(notes))


def curves_verdict(observations: Observations) -> Verdict:
    """Where the train loss ends at the chosen LR."""
    strata, labels = _chosen(observations)
    if strata.empty:
        return Verdict(f"{_why_none(observations)}: there is no chosen LR to draw curves of.")
    curves = observations.curves.dropna(subset="train_loss")
    if curves.empty:
        return Verdict("No evaluation of a chosen trial is recorded: there are no curves to draw.")
    last = curves.groupby(["run", "trial_id"]).last()
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


def _loss_phrase(a: Row, b: Row, label: str) -> str:
    told = [
        f"{row.mean:.3g}{'' if pd.isna(row.sd) else f' ± {row.sd:.2g}'} (n = {row.seeds}) at "
        f"batch {batch_label(row.global_batch)}"
        for row in ((a,) if a.global_batch == b.global_batch else (a, b))
    ]
    return f"{listed(told)} with {label}"
