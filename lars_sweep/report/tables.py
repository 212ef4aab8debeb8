"""The tables of a report: cells as they are printed, and the frames that hold every digit."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from lars_sweep.report.labels import (
    batch_label,
    field_label,
    lr_label,
    panel_labels,
    spread_label,
)
from lars_sweep.report.observations import Observations
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


def strata_table(observations: Observations) -> Table:
    """One row per stratum: what was run, how it ended, the chosen LR and its accuracy."""
    strata = observations.strata
    labels = panel_labels(strata, observations.panel_fields)
    head = (
        "Stratum", "Batch", "Trials", "ok", "Diverged", "Pruned", "Failed", "LRs finished",
        "Chosen LR", "At edge", "n", f"{_split(observations)} %", "Test %",
    )  # fmt: skip
    return Table(
        name="strata",
        caption="Per stratum: trials by status; the range of LRs with a finished (ok or diverged) "
        "trial; the chosen LR, whether no finished LR lies beyond it on one side, and mean ± "
        "standard deviation over its n seeds, a diverged seed counting as chance.",
        head=head,
        numeric=(False, *[True] * 6, False, True, False, True, True, True),
        rows=tuple(
            _stratum_cells(row, labels[int(row["panel"])], observations.searched)
            for _, row in strata.iterrows()
        ),
        frame=strata.drop(columns=["panel", "row", "point_id"]),
    )


def points_frame(observations: Observations) -> pd.DataFrame:
    """One row per point, at full precision; a CSV file only."""
    return observations.points.drop(columns=["panel", "row", "point_id"])


def _split(observations: Observations) -> str:
    return {"held_out": "Val", "paper": "Test (chosen on)"}.get(observations.protocol, "Chosen on")


def _stratum_cells(stratum: pd.Series, label: str, searched: tuple[str, ...]) -> tuple[str, ...]:
    counts = [f"{stratum['trials']:,}", *(f"{stratum[name]:,}" for name in STATUSES)]
    start = (label, batch_label(stratum["global_batch"]), *counts)
    if pd.isna(stratum["lr_low"]):
        tested = "none"
    elif stratum["lrs"] == 1:
        tested = lr_label(stratum["lr_low"])
    else:
        low, high = lr_label(stratum["lr_low"]), lr_label(stratum["lr_high"])
        tested = f"{low} – {high} ({int(stratum['lrs'])})"
    if pd.isna(stratum["point_id"]):
        return (*start, tested, none_reason(stratum), "–", "–", "–", "–")
    others = [field_label(name, stratum[name]) for name in searched]
    return (
        *start,
        tested,
        "; ".join([lr_label(stratum["base_lr"]), *others]),
        EDGES[stratum["edge"]],
        f"{stratum['n']:.0f}",
        spread_label(stratum["choice_mean"], stratum["choice_sd"]),
        spread_label(stratum["report_mean"], stratum["report_sd"]),
    )
