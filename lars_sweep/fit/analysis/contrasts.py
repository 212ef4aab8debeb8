"""LARS against SGD: how much more of the small batch's accuracy is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis.curves_in_steps import StepsFinding, difference
from lars_sweep.fit.analysis.entries import Entry, Key, TooLittle
from lars_sweep.fit.analysis.groups import Group
from lars_sweep.fit.analysis.options import FitOptions
from lars_sweep.fit.answers import Answer
from lars_sweep.fit.engine import Noise
from lars_sweep.fit.tuned import Tuned


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """LARS against SGD at one batch: how much more of the small batch's accuracy is kept."""

    baseline: int
    lars_minus_sgd: Answer
    """``[acc(B) - acc(small)]`` of LARS minus the same of SGD, points (PROTOCOL.md 11)."""


def contrasts(
    pairs: Iterable[tuple[Group, Group | TooLittle]],
    steps: Mapping[Key, StepsFinding],
    bracketed: Collection[Key],
    options: FitOptions,
) -> tuple[Entry[Contrast], ...]:
    """The primary contrast at every batch and epochs that both optimizers ran.

    Args:
        pairs: LARS groups with their SGD rivals.
        steps: tuned cells by group.
        bracketed: each (group, batch, epochs) whose LR grid has a bad LR on either side of its
            best one, without which the rivals are not comparable.
        options: the baseline batch.
    """
    entries: list[Entry[Contrast]] = []
    for group, rival in pairs:
        lars = steps.get(group.key)
        if lars is None:
            continue
        if isinstance(rival, TooLittle):
            entries.append(group.entry(rival))
            continue
        sgd = steps.get(rival.key)
        for batch, epochs in zip(
            lars.cells.batch.tolist(), lars.cells.epochs.tolist(), strict=True
        ):
            small = _small(lars.cells, epochs, options.baseline)
            if sgd is None or batch == small:
                continue
            ends = [(f, _corner(f.cells, at, epochs)) for f in (lars, sgd) for at in (batch, small)]
            corners = [corner for _, corner in ends if corner is not None]
            if len(corners) < len(ends):
                continue
            keys = [
                Key(conditions=g.key.conditions, global_batch=int(at), epochs=epochs)
                for g in (group, rival)
                for at in (batch, small)
            ]
            result: Contrast | TooLittle = TooLittle(
                "not comparable: an LR grid does not bracket its own best LR"
            )
            if all(key in bracketed for key in keys):
                result = _contrast(lars, sgd, corners, int(small))
            entries.append(group.entry(result, batch=int(batch), epochs=epochs))
    return tuple(entries)


def _small(cells: Tuned, epochs: float, baseline: int | None) -> float:
    return float(cells.batch[cells.epochs == epochs].min() if baseline is None else baseline)


def _corner(cells: Tuned, batch: float, epochs: float) -> int | None:
    at = np.flatnonzero((cells.batch == batch) & (cells.epochs == epochs))
    return int(at[0]) if len(at) else None


def _contrast(lars: StepsFinding, sgd: StepsFinding, corners: list[int], baseline: int) -> Contrast:
    """Four cells; each optimizer's noise is its own, their degrees of freedom Satterthwaite's."""
    value, parts = 0.0, []
    for finding, (large, small), sign in ((lars, corners[:2], 1.0), (sgd, corners[2:], -1.0)):
        cells = finding.cells
        value += sign * float(cells.accuracy[large] - cells.accuracy[small])
        if finding.noise is not None:
            share = 1.0 / cells.weight[large] + 1.0 / cells.weight[small]
            parts.append((finding.noise.variance * float(share), finding.noise.nu))
    noise = None
    if len(parts) == 2:
        total = sum(variance for variance, _ in parts)
        nu = total**2 / sum(variance**2 / nu for variance, nu in parts) if total > 0 else np.inf
        noise = Noise(variance=total, nu=nu if nu > 0 else np.inf, source="replicates")
    return Contrast(baseline=baseline, lars_minus_sgd=difference(value, 1.0, noise))
