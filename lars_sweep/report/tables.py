"""The tables of a report: cells as they are printed, and the frames that hold every digit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from lars_sweep.report.labels import (
    batch_label,
    field_label,
    lr_label,
    panel_labels,
    reported_head,
    reported_on,
    spread_label,
)
from lars_sweep.report.observations import PANEL_BASE, STRATUM, Observations, rows_of
from lars_sweep.report.verdicts import none_reason

STATUSES = ("ok", "diverged", "pruned", "failed")
EDGES = {"": "no", "lower": "lower edge", "upper": "upper edge", "both": "only one LR"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as it is printed; the first column names the row."""

    name: str
    """Stem of its CSV file."""
    caption: str
    head: tuple[str, ...]
    numeric: tuple[bool, ...]
    """Whether a column is aligned as numbers, one per column."""
    rows: tuple[tuple[str, ...], ...]
    frame: pd.DataFrame


def endings_table(observations: Observations) -> Table:
    """One row per stratum: what was run and how it ended."""
    strata = observations.strata
    labels = panel_labels(strata, observations.panel_fields)
    return Table(
        name="endings",
        caption="Trials of each stratum by how they ended, and the range of LRs (with their "
        "number) at which a trial ended ok or diverged.",
        head=("Stratum", "Batch", "Trials", "ok", "Diverged", "Pruned", "Failed", "LRs finished"),
        numeric=(False, *[True] * 6, False),
        rows=tuple(
            (
                labels[row.panel],
                batch_label(row.global_batch),
                *(f"{getattr(row, name):,}" for name in ("trials", *STATUSES)),
                _lr_range(row),
            )
            for row in rows_of(strata)
        ),
        frame=strata[
            [*STRATUM, *PANEL_BASE, "global_batch", "trials", *STATUSES, "lr_low", "lr_high", "lrs"]
        ],
    )


def chosen_table(observations: Observations) -> Table:
    """One row per stratum: the chosen LR and the accuracy there."""
    strata = observations.strata
    labels = panel_labels(strata, observations.panel_fields)
    reported = reported_head(observations)
    split = "Val" if observations.protocol == "held_out" else "Choice"
    return Table(
        name="chosen",
        caption="The chosen LR of each stratum; whether no finished LR lies beyond it on one side; "
        "mean ± standard deviation, over its n seeds, of the accuracy that it was chosen by and of "
        f"that {reported_on(observations)}. A diverged seed counts as chance.",
        head=("Stratum", "Batch", "Chosen LR", "At edge", "n", f"{split} %", reported),
        numeric=(False, True, True, False, True, True, True),
        rows=tuple(
            (
                labels[int(row["panel"])],
                batch_label(row["global_batch"]),
                *_chosen_cells(row, observations.searched),
            )
            for _, row in strata.iterrows()
        ),
        frame=strata.drop(columns=["panel", "row", "point_id", "trials", *STATUSES]),
    )


def points_frame(observations: Observations) -> pd.DataFrame:
    """One row per point, at full precision; a CSV file only."""
    return observations.points.drop(columns=["panel", "row", "point_id"])


def _lr_range(stratum: Any) -> str:
    if pd.isna(stratum.lr_low):
        return "none"
    if stratum.lrs == 1:
        return lr_label(stratum.lr_low)
    return f"{lr_label(stratum.lr_low)} – {lr_label(stratum.lr_high)} ({int(stratum.lrs)})"


def _chosen_cells(stratum: pd.Series, searched: tuple[str, ...]) -> tuple[str, ...]:
    if pd.isna(stratum["point_id"]):
        return (none_reason(stratum), "–", "–", "–", "–")
    others = [field_label(name, stratum[name]) for name in searched]
    return (
        "; ".join([lr_label(stratum["base_lr"]), *others]),
        EDGES[stratum["edge"]],
        f"{stratum['n']:.0f}",
        spread_label(stratum["choice_mean"], stratum["choice_sd"]),
        spread_label(stratum["report_mean"], stratum["report_sd"]),
    )
