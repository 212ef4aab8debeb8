"""Outcome rows → trials, points and strata, with the point that each stratum chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lars_sweep.errors import OutcomeError

GIVEN = "given"
"""Split of the rows of a table that does not say on which data its accuracy was measured."""
RUN = "run"
"""Column that tells the rows of several runs apart; absent where there is one."""
STRATUM = (RUN, "sweep", "stratum")
OPTIMIZER_ORDER = ("lars", "sgd", "lamb", "adamw")

# What a trial is asked to do, apart from its seed. Rows that differ in one of these are never
# pooled as seeds of one point.
SETTING = (
    "model", "dataset", "split", "augmentation", "optimizer", "lars_variant", "granularity",
    "zero_norm", "momentum_form", "global_batch", "bn_batch", "base_lr", "lr_excluded",
    "trust_coefficient", "momentum", "nesterov", "weight_decay", "exclusions", "schedule",
    "poly_origin", "power", "warmup_epochs", "warmup_start", "epochs", "samples", "precision",
    "bn_eval", "init",
)  # fmt: skip
# One panel holds the strata that agree in these and differ in the batch.
PANEL_BASE = ("model", "dataset", "split", "epochs", "optimizer")
RESULTS = ("accuracy", "accuracy_val", "accuracy_tail", "accuracy_at_stop", "lr_peak", "train_loss")
OUTCOME_COLUMNS = (
    "trial_id", "sweep", "stratum", "params", *SETTING, "seed", "status", "cause", *RESULTS,
)  # fmt: skip
CURVE_COLUMNS = (
    "trial_id", "step", "epochs", "train_loss", "test_loss", "val_accuracy", "test_accuracy",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """What the outcome and curve tables hold, ordered and counted; nothing is estimated here.

    Every frame is sorted by content, so that the order of the input rows never shows.
    """

    trials: pd.DataFrame
    """One row per trial that is not ``failed``. ``choice_accuracy`` (%) is what a choice looks at,
    ``report_accuracy`` (%) what is reported of it; both are chance for diverged trials and null
    for pruned ones. ``point_id`` names the point."""
    points: pd.DataFrame
    """One row per point: counts by status, means and standard deviations over its seeds."""
    strata: pd.DataFrame
    """One row per stratum, failed trials counted, with its chosen point where there is one."""
    curves: pd.DataFrame
    """Curve rows of the ok trials of the chosen points, joined with their panel and batch."""
    panel_fields: tuple[str, ...]
    """Columns whose values tell one panel from another, the optimizer among them."""
    searched: tuple[str, ...]
    """Columns searched besides the base LR and what is proportional to it."""
    protocol: str
    """``held_out``, ``paper``, `GIVEN` or ``mixed``."""

    @property
    def batches(self) -> tuple[int, ...]:
        """All global batches, increasing."""
        return tuple(int(b) for b in sorted(self.strata["global_batch"].unique()))

    @property
    def runs(self) -> tuple[str, ...]:
        """Labels of the runs, in order; one empty label where there is one run."""
        return tuple(str(run) for run in sorted(self.strata[RUN].unique())) or ("",)


def observe(outcomes: pa.Table, curves: pa.Table) -> Observations:
    """Sort, pool and choose.

    A point is chosen per stratum by its mean ``choice_accuracy`` over seeds: on val, or on test in
    the paper protocol (PROTOCOL.md 1). A diverged seed counts with its chance accuracy. A point
    with a pruned seed is not eligible: what it would have reached is unknown (PROTOCOL.md 7).
    Equal means: the middle LR of them.

    Args:
        outcomes: rows of ``schema.OUTCOMES``.
        curves: rows of ``schema.CURVES``.

    Raises:
        OutcomeError: a column is missing.
    """
    rows = _frame(outcomes, OUTCOME_COLUMNS, "outcome table").sort_values([RUN, "trial_id"])
    counted = rows[rows["status"] != "failed"]
    varying = _varying_within_strata(counted)
    search = ("base_lr", *(name for name in varying if name != "base_lr"))
    panel_fields = _panel_fields(rows, varying)
    order = _panel_order(rows, panel_fields)
    rows = rows.merge(order, on=list(panel_fields), how="left", validate="m:1")
    trials = _trials(rows[rows["status"] != "failed"], search)
    points = _points(trials, search)
    strata = _strata(rows, points, search, panel_fields)
    chosen = trials["point_id"].isin(strata["point_id"].dropna())
    trials = trials.assign(chosen=chosen)
    return Observations(
        trials=trials,
        points=points.assign(chosen=points["point_id"].isin(strata["point_id"].dropna())),
        strata=strata,
        curves=_chosen_curves(curves, trials[chosen & (trials["status"] == "ok")]),
        panel_fields=panel_fields,
        searched=tuple(name for name in search[1:] if not _follows_lr(counted, name)),
        protocol=_protocol(rows),
    )


def rows_of(frame: pd.DataFrame) -> list[Any]:
    """The rows as named tuples; their fields are the columns, which no type checker can know."""
    return list(frame.itertuples())


def _frame(table: pa.Table, columns: Sequence[str], what: str) -> pd.DataFrame:
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise OutcomeError(
            f"{what}: missing columns: {', '.join(missing)}; got: "
            f"{', '.join(table.column_names) or 'none'}. Make the table with `lars-sweep collect`."
        )
    runs = [RUN] if RUN in table.column_names else []
    frame: pd.DataFrame = table.select([*runs, *columns]).to_pandas()
    return frame if runs else frame.assign(**{RUN: ""})


def _varying_within_strata(counted: pd.DataFrame) -> tuple[str, ...]:
    """The search dimensions: settings with more than one value inside a stratum."""
    groups = counted.groupby(list(STRATUM))
    return tuple(name for name in SETTING if (groups[name].nunique(dropna=False) > 1).any())


def _panel_fields(rows: pd.DataFrame, searched: Sequence[str]) -> tuple[str, ...]:
    """PANEL_BASE, and what else tells apart strata that agree in it and in the batch.

    What merely follows the batch (a ghost batch of B/8, a warm-up per batch) splits no panel.
    """
    key = [RUN, *PANEL_BASE, "global_batch"]
    candidates = [n for n in SETTING if n not in key and n not in searched and n != "base_lr"]
    strata = rows.drop_duplicates(list(STRATUM))
    groups = strata.groupby(key, dropna=False)
    extra = [name for name in candidates if (groups[name].nunique(dropna=False) > 1).any()]
    for name in ("sweep", "stratum"):
        if strata.duplicated([*key, *extra]).any():
            extra.append(name)
    return ("optimizer", RUN, *(n for n in PANEL_BASE if n != "optimizer"), *extra)


def _panel_order(rows: pd.DataFrame, fields: Sequence[str]) -> pd.DataFrame:
    """One row per panel: its ``row`` (all but the optimizer) and its ``panel`` number, in order."""
    rest = [name for name in fields if name != "optimizer"]
    panels = rows[list(fields)].drop_duplicates()
    rank = panels["optimizer"].map({name: i for i, name in enumerate(OPTIMIZER_ORDER)})
    panels = panels.assign(_rank=rank.fillna(len(OPTIMIZER_ORDER)))
    panels = panels.sort_values([*rest, "_rank", "optimizer"]).drop(columns="_rank")
    panels["row"] = panels.groupby(rest, dropna=False, sort=False).ngroup()
    panels["panel"] = range(len(panels))
    return panels


def _trials(counted: pd.DataFrame, search: Sequence[str]) -> pd.DataFrame:
    pruned, diverged = counted["status"] == "pruned", counted["status"] == "diverged"
    report = counted["accuracy_tail"].fillna(counted["accuracy"]).astype(float)
    val = counted["accuracy_val"].astype(float)
    choice = val.where(~counted["split"].isin(("paper", GIVEN)), report)
    chance = counted["accuracy"].astype(float)
    trials = counted.assign(
        choice_accuracy=choice.where(~diverged, chance).where(~pruned),
        report_accuracy=report.where(~diverged, chance).where(~pruned),
    ).sort_values(["panel", "global_batch", *STRATUM, *search, "seed", "trial_id"])
    # params too: a dimension of a user's model has no column of its own
    key = [*STRATUM, *search, "params"]
    trials["point_id"] = trials.groupby(key, dropna=False, sort=False).ngroup()
    return trials.reset_index(drop=True)


def _points(trials: pd.DataFrame, search: Sequence[str]) -> pd.DataFrame:
    finished = trials.assign(
        ok=trials["status"] == "ok",
        diverged=trials["status"] == "diverged",
        pruned=trials["status"] == "pruned",
        ok_accuracy=trials["choice_accuracy"].where(trials["status"] == "ok"),
    )
    groups = finished.groupby("point_id", sort=True)
    described = groups[
        ["panel", "row", "optimizer", "global_batch", *STRATUM, *search, "lr_peak"]
    ].first()
    return described.assign(
        seeds=groups.size(),
        ok=groups["ok"].sum(),
        diverged=groups["diverged"].sum(),
        pruned=groups["pruned"].sum(),
        # over ok seeds only: what is drawn where diverged ones have a mark of their own
        ok_mean=groups["ok_accuracy"].mean(),
        n=groups["choice_accuracy"].count(),
        choice_mean=groups["choice_accuracy"].mean(),
        choice_sd=groups["choice_accuracy"].std(),
        report_mean=groups["report_accuracy"].mean(),
        report_sd=groups["report_accuracy"].std(),
    ).reset_index()


def _strata(
    rows: pd.DataFrame, points: pd.DataFrame, search: Sequence[str], fields: Sequence[str]
) -> pd.DataFrame:
    groups = rows.groupby(list(STRATUM), sort=True)
    extra = [name for name in fields if name not in (*PANEL_BASE, *STRATUM)]
    strata = groups[["panel", "row", "global_batch", *PANEL_BASE, *extra]].first()
    strata["trials"] = groups.size()
    for status in ("ok", "diverged", "pruned", "failed"):
        strata[status] = (rows["status"] == status).groupby([rows[n] for n in STRATUM]).sum()
    # A pruned LR is neither in nor out, so it does not bracket an optimum (PROTOCOL.md 7).
    finished = points[points["ok"] + points["diverged"] > 0].groupby(list(STRATUM))["base_lr"]
    strata["lr_low"], strata["lr_high"], strata["lrs"] = (
        finished.min(), finished.max(), finished.nunique()
    )  # fmt: skip
    eligible = points[(points["ok"] > 0) & (points["pruned"] == 0)].dropna(subset="choice_mean")
    in_strata = eligible.groupby(list(STRATUM), dropna=False)["choice_mean"]
    best = eligible[eligible["choice_mean"] == in_strata.transform("max")].sort_values([*search])
    equal = best.groupby(list(STRATUM), dropna=False)["choice_mean"]
    best = best[equal.cumcount() == (equal.transform("size") - 1) // 2]
    columns = ["point_id", *search, "n", "choice_mean", "choice_sd", "report_mean", "report_sd"]
    strata = strata.reset_index().merge(
        best[[*STRATUM, *columns]], on=list(STRATUM), how="left", validate="1:1",
        suffixes=("", "_chosen"),
    )  # fmt: skip
    strata["edge"] = _edge(strata)
    return strata.sort_values(["panel", "global_batch", *STRATUM]).reset_index(drop=True)


def _edge(strata: pd.DataFrame) -> pd.Series[str]:
    """On which side no finished LR lies beyond the chosen one; empty where it is inside."""
    low, high = strata["base_lr"] == strata["lr_low"], strata["base_lr"] == strata["lr_high"]
    side = np.select([low & high, low, high], ["both", "lower", "upper"], default="")
    return pd.Series(side, index=strata.index, dtype="str")


def _chosen_curves(curves: pa.Table, trials: pd.DataFrame) -> pd.DataFrame:
    if "trial_id" in curves.column_names:  # most curves are of other LRs
        wanted = pa.array(trials["trial_id"].unique().tolist(), pa.string())
        curves = curves.filter(pc.is_in(curves["trial_id"], wanted))
    frame = _frame(curves, CURVE_COLUMNS, "curve table")
    about = trials[[RUN, "trial_id", "panel", "row", "optimizer", "global_batch", "seed", "split"]]
    joined = frame.merge(about, on=[RUN, "trial_id"], how="inner")
    held_out = joined["split"] != "paper"
    joined["accuracy"] = joined["val_accuracy"].where(held_out, joined["test_accuracy"])
    joined[["accuracy", "train_loss"]] = joined[["accuracy", "train_loss"]].astype(float)
    order = ["panel", "global_batch", "seed", RUN, "trial_id", "step"]
    return joined.sort_values(order).reset_index(drop=True)


def _follows_lr(counted: pd.DataFrame, name: str) -> bool:
    """Whether a setting is the base LR times a constant, in every stratum."""
    if not pd.api.types.is_numeric_dtype(counted[name]):
        return False
    ratio = (counted[name] / counted["base_lr"]).groupby([counted[n] for n in STRATUM])
    return bool(((ratio.max() - ratio.min()) <= 1e-9 * ratio.max().abs()).all())


def _protocol(rows: pd.DataFrame) -> str:
    splits = sorted(rows["split"].unique())
    return str(splits[0]) if len(splits) == 1 else "mixed"
