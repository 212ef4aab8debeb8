"""From rows over learning rates to one accuracy per (batch, epochs): what a tuned LR gives."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.cells import Cells, cells
from lars_sweep.fit.edges import find_edges
from lars_sweep.fit.engine import Data, Noise
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.lr_design import MINIMUM_LRS, design_of, resolution
from lars_sweep.fit.rows import Rows, refuse_mixed
from lars_sweep.fit.sigma import MINIMUM_NU, ROUNDING, calm, spread

SHARED_BIAS = 0.35
"""The height of a flat top is biased by up to this share of its standard error, upwards on a
plateau of few cells and downwards on a peak between them; cells of one sweep are biased alike
(simulated at 3 seeds: +0.28, +0.27, -0.38, -0.35 for four shapes)."""
_DEFAULT_DELTA = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """Accuracy at a tuned LR per (batch, epochs), sorted by batch, then epochs; all (n,)."""

    batch: FloatArray
    epochs: FloatArray
    steps: FloatArray
    """``S = ceil(E N / B)``."""
    accuracy: FloatArray
    weight: FloatArray
    """How many seeds each accuracy is worth."""
    lrs: FloatArray
    """LRs that finished."""
    diverged: FloatArray
    """LRs at which every seed diverged."""
    shared_se: float = 0.0
    """Bias that all plateaus may share, points, see `SHARED_BIAS`."""

    def data(self) -> Data:
        """As data of a curve in x = (S, B)."""
        return Data(
            x=np.stack([self.steps, self.batch], axis=-1), y=self.accuracy, weights=self.weight
        )

    def __len__(self) -> int:
        return len(self.batch)


def tuned(
    rows: Rows,
    *,
    lr: str = "base_lr",
    choose_by: str | None = None,
    metric: str = "accuracy",
    sigma: float | None = None,
    delta: float = _DEFAULT_DELTA,
    pool: Collection[str] = (),
) -> tuple[Tuned, Noise | None]:
    """Reduce rows to the accuracy that a well-chosen LR gives, and the noise between seeds.

    With replicate seeds at four or more LRs it is the height of the flat top fitted through them
    all: the best cell alone would be too good by selection. Else it is the cell that is best by
    ``choose_by``.

    Args:
        rows: outcomes of one model and optimizer.
        lr: column of learning rates; without it every (batch, epochs) is one cell.
        choose_by: metric that picks the LR, ``accuracy_val`` where there is one (PROTOCOL.md 1).
        metric: metric that is reported.
        sigma: standard deviation of one seed, if stated.
        delta: depth below the plateau to which the flat top is trusted, points.
        pool: conditions declared to have no effect.
    """
    refuse_mixed(rows, ("global_batch", "epochs"), pool)
    if choose_by is None:
        choose_by = "accuracy_val" if "accuracy_val" in rows else metric
    groups = list(rows.groups(("global_batch", "epochs")))
    by = (lr,) if lr in rows else ()
    tables = [cells(group, by, metric) for _, group in groups]
    noise = _noise(tables, sigma, delta)
    found: list[tuple[float, ...]] = []
    plateaus = []
    for ((batch, epochs), group), table in zip(groups, tables, strict=True):
        if not np.any(table.ok > 0):
            continue
        samples = float(group.floats("samples")[0])
        plateau = _plateau(table, lr, noise, delta)
        if plateau is not None and noise is not None:
            plateaus.append(noise.variance / plateau[1])
        accuracy, weight = plateau or _best_cell(table, cells(group, by, choose_by))
        steps = float(np.ceil(float(epochs) * samples / float(batch)))
        all_diverged = np.sum((table.ok == 0) & (table.diverged > 0))
        counts = (float(np.sum(table.ok > 0)), float(all_diverged))
        found.append((float(batch), float(epochs), steps, accuracy, weight, *counts))
    columns = np.array(found, dtype=np.float64).reshape(len(found), 7).T
    names = ("batch", "epochs", "steps", "accuracy", "weight", "lrs", "diverged")
    shared = SHARED_BIAS * float(np.sqrt(np.mean(plateaus))) if plateaus else 0.0
    return Tuned(**dict(zip(names, columns, strict=True)), shared_se=shared), noise


def _noise(tables: list[Cells], sigma: float | None, delta: float) -> Noise | None:
    """Pooled over the calm cells near the best LR of each table: elsewhere seeds scatter more."""
    if sigma is not None:
        return Noise(variance=sigma**2, nu=np.inf, source="user")
    squares = nu = 0.0
    for table in tables:
        own = np.maximum(table.ok - 1, 0)
        (known,) = calm(table.mean[None], table.variance[None], own[None], delta)
        squares += float(np.sum(table.variance[known] * own[known]))
        nu += float(np.sum(own[known]))
    if nu < MINIMUM_NU or squares / nu <= ROUNDING:
        return None
    return Noise(variance=squares / nu, nu=nu, source="replicates")


def _plateau(
    table: Cells, lr: str, noise: Noise | None, delta: float
) -> tuple[float, float] | None:
    """Height of the flat top and the seeds it is worth; None where it cannot be fitted."""
    if noise is None or np.sum(table.ok > 0) < MINIMUM_LRS:
        return None
    design = design_of(table, lr)
    own = spread(design.samples, None, delta)
    enough = own.nu[0] >= MINIMUM_NU and own.pooled[0] > ROUNDING
    sigma = None if enough else float(np.sqrt(noise.variance))
    edges = find_edges(design, delta, sigma=sigma, step=resolution(design))
    return float(edges.plateau[0]), noise.variance / float(edges.plateau_se[0]) ** 2


def _best_cell(table: Cells, chosen_by: Cells) -> tuple[float, float]:
    """Mean and seeds of the cell that is best by the choosing metric."""
    score = chosen_by.mean if len(chosen_by) == len(table) else table.mean
    score = np.where(np.isfinite(score) & (table.ok > 0), score, -np.inf)
    best = int(np.argmax(score if np.any(np.isfinite(score)) else table.mean))
    return float(table.mean[best]), float(table.ok[best])
