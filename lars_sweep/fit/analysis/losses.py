"""The generalization gap at the chosen LRs, per number of epochs (the paper's Figure 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis.chosen import Chosen, chosen_rows, of_trials
from lars_sweep.fit.analysis.entries import Entry, Missing, TooLittle, attempt
from lars_sweep.fit.analysis.groups import Group
from lars_sweep.fit.analysis.options import FitOptions
from lars_sweep.fit.answers import Answer
from lars_sweep.fit.gap import (
    GapBand,
    GapComparison,
    final_gaps,
    gap_at_matched_train_loss,
    gap_bands,
)
from lars_sweep.fit.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchedGap:
    """Test loss at equal train loss, a batch minus the smallest."""

    batch: int
    difference: Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class GapFinding:
    """Whether the gap grows with the batch."""

    comparisons: tuple[GapComparison, ...]
    bands: tuple[GapBand, ...]
    """Over training; empty without curves."""
    matched: tuple[MatchedGap, ...]
    bands_split: str
    """Which loss the bands and ``matched`` hold against the train loss: val or test."""


def gap_findings(
    group: Group, chosen: tuple[Chosen, ...] | Missing, curves: Rows | None, options: FitOptions
) -> tuple[Entry[GapFinding], ...]:
    """One entry per number of epochs.

    Args:
        group: rows of one model and optimizer.
        chosen: its chosen LRs.
        curves: columns trial_id, epochs, train_loss, test_loss and val_loss, if recorded.
        options: the margin of equivalence, and whether seeds are paired.
    """
    if not isinstance(chosen, tuple):
        return (group.entry(chosen),)
    entries = []
    for epochs, part in group.at_epochs():
        rows = chosen_rows(part, tuple(one for one in chosen if one.epochs == epochs))
        entries.append(part.entry(_gap(part, rows, curves, options), epochs=epochs))
    return tuple(entries)


def _gap(
    group: Group, rows: Rows, curves: Rows | None, options: FitOptions
) -> GapFinding | Missing:
    if "train_loss" not in rows or "test_loss" not in rows:
        return TooLittle("the table has no columns train_loss and test_loss")
    paired = options.paired and "seed" in rows
    comparisons = attempt(
        lambda: final_gaps(rows, margin=options.margin, pool=group.pooled, paired=paired)
    )
    if not isinstance(comparisons, tuple):
        return comparisons
    lines, split = _lines(rows, curves)
    batches = np.unique(lines["global_batch"]).tolist() if lines is not None else []
    return GapFinding(
        comparisons=comparisons,
        bands=() if lines is None else gap_bands(lines),
        matched=tuple(
            MatchedGap(
                batch=int(batch),
                difference=gap_at_matched_train_loss(lines, float(batches[0]), float(batch)),
            )
            for batch in batches[1:]
            if lines is not None
        ),
        bands_split=split,
    )


def _lines(rows: Rows, curves: Rows | None) -> tuple[Rows | None, str]:
    """Curves of the chosen runs with their batch and seed, and the split of their loss.

    The held-out protocol measures test in the last steps only, so its curves are those of val.
    """
    if curves is None or "trial_id" not in rows:
        return None, ""
    about = {
        trial: (batch, seed)
        for trial, batch, seed in zip(
            rows["trial_id"].tolist(),
            rows["global_batch"].tolist(),
            rows["seed"].tolist() if "seed" in rows else range(len(rows)),
            strict=True,
        )
    }
    kept = of_trials(curves, about)
    if not len(kept):
        return None, ""
    told = [about[trial] for trial in kept["trial_id"].tolist()]
    val = "val_loss" in kept and bool(np.isfinite(kept.floats("val_loss")).any())
    loss = kept.floats("val_loss" if val else "test_loss")
    return Rows(
        {
            "global_batch": np.array([batch for batch, _ in told]),
            "seed": np.array([seed for _, seed in told]),
            "epochs": kept.floats("epochs"),
            "train_loss": kept.floats("train_loss"),
            "test_loss": loss,
        }
    ), "val" if val else "test"
