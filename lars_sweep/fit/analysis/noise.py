"""The gradient noise scale of a group's runs, at each checkpoint where it was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis.chosen import Chosen, rows_of_runs
from lars_sweep.fit.analysis.entries import Entry, Missing
from lars_sweep.fit.analysis.groups import Group
from lars_sweep.fit.answers import Answer
from lars_sweep.fit.noise_scale import NoiseParts, estimate_noise_scale, mean_parts, noise_parts
from lars_sweep.fit.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseAt:
    """The noise scale after a number of steps, over the runs of the chosen LR."""

    step: int
    runs: int
    measurements: int
    """Of each run."""
    scale: Answer
    """Samples. The interval is that of the measurement at these runs' weights; what other seeds'
    weights would say is not in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFinding:
    """The noise scale along the training of one batch and number of epochs."""

    points: tuple[NoiseAt, ...]
    """By step."""


def noise_findings(
    group: Group, chosen: tuple[Chosen, ...] | Missing, noise: Rows | None
) -> tuple[Entry[NoiseFinding], ...]:
    """One entry per batch and epochs whose runs at the chosen LR were measured.

    Args:
        group: rows of one model and optimizer.
        chosen: its chosen LRs.
        noise: columns trial_id, step, measurement, micro_batch, micro_batches, micro_square,
            mean_square; None where nothing was measured.
    """
    if noise is None or not isinstance(chosen, tuple) or "trial_id" not in group.rows:
        return ()
    if "micro_square" not in noise or "mean_square" not in noise:  # no finite one among them
        return ()
    entries = []
    for one, kept in rows_of_runs(group, chosen, noise):
        if points := tuple(_points(kept)):
            finding = NoiseFinding(points=points)
            entries.append(group.entry(finding, batch=one.global_batch, epochs=one.epochs))
    return tuple(entries)


def _points(noise: Rows) -> Iterator[NoiseAt]:
    for (step,), here in noise.groups(("step",)):
        runs = [parts for _, rows in here.groups(("trial_id",)) if (parts := _of_run(rows))]
        if runs:
            parts = mean_parts(runs)
            yield NoiseAt(
                step=int(step),
                runs=len(runs),
                measurements=len(parts.signal),
                scale=estimate_noise_scale(parts),
            )


def _of_run(rows: Rows) -> NoiseParts | None:
    """Each measurement once, in their order; None for a run with numbers that are not finite."""
    _, first = np.unique(rows["measurement"], return_index=True)
    rows = rows.where(first)
    micro, mean = rows.floats("micro_square"), rows.floats("mean_square")
    if not np.isfinite(micro + mean).all():
        return None
    return noise_parts(micro, mean, int(rows["micro_batch"][0]), int(rows["micro_batches"][0]))
