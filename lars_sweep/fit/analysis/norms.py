"""Layer norms of a group: Table 2, ratios over training, and where they say SGD breaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis.chosen import Chosen, rows_of_runs
from lars_sweep.fit.analysis.entries import Entry, Missing, TooLittle
from lars_sweep.fit.analysis.groups import Group
from lars_sweep.fit.analysis.learning_rates import takeover
from lars_sweep.fit.answers import Answer, not_identified
from lars_sweep.fit.layers import (
    LayerRatio,
    RatioPath,
    edge_agreement,
    layer_ratios,
    predicted_edge,
    ratio_paths,
)
from lars_sweep.fit.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersFinding:
    """Norms of one batch and number of epochs, at the chosen LR."""

    step: int
    """At which ``ratios`` were recorded: the first evaluation point."""
    ratios: tuple[LayerRatio, ...]
    paths: tuple[RatioPath, ...]
    predicted: Answer
    """LR at which the first tensor's SGD update would equal its weight."""
    measured: Answer
    """LR at which half of the seeds diverged."""
    agreement: Answer
    """Measured over predicted; stated for SGD only, whose update the prediction is about."""


def layers_findings(
    group: Group, chosen: tuple[Chosen, ...] | Missing, layers: Rows | None
) -> tuple[Entry[LayersFinding], ...]:
    """One entry per batch and epochs with recorded norms; else one that says why not.

    Args:
        group: rows of one model and optimizer.
        chosen: its chosen LRs.
        layers: columns trial_id, step, layer, weight_norm, gradient_norm, update_ratio; None where
            none were recorded.
    """
    if layers is None:
        return (group.entry(TooLittle("no layer norms are recorded")),)
    if not isinstance(chosen, tuple):
        return (group.entry(chosen),)
    if "trial_id" not in group.rows:
        return (group.entry(TooLittle("no column trial_id joins the norms to their runs")),)
    entries = []
    for one, kept in rows_of_runs(group, chosen, layers):
        result: LayersFinding | TooLittle = TooLittle("no layer norms of the chosen LR's runs")
        if len(kept):
            result = _finding(group, one, kept)
        entries.append(group.entry(result, batch=one.global_batch, epochs=one.epochs))
    return tuple(entries)


def _finding(group: Group, one: Chosen, layers: Rows) -> LayersFinding | TooLittle:
    ratios = layer_ratios(layers)
    if not ratios:
        return TooLittle("all recorded norms are 0")
    rows = group.rows
    here = (rows.floats("global_batch") == one.global_batch) & (rows.floats("epochs") == one.epochs)
    predicted, measured = predicted_edge(ratios), takeover(rows.where(here))
    agreement = edge_agreement(predicted, measured)
    if group.key["optimizer"] not in (None, "sgd"):
        reason = "the prediction is about SGD's update, which this optimizer does not make"
        agreement = not_identified(reason)
    return LayersFinding(
        step=int(np.min(layers["step"])),
        ratios=ratios,
        paths=ratio_paths(layers),
        predicted=predicted,
        measured=measured,
        agreement=agreement,
    )
