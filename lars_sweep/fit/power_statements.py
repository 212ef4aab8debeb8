"""How often simulated sweeps would allow each statement of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lars_sweep.fit.best_lr import LR_FORMS, MARGIN, MINIMUM_BATCHES
from lars_sweep.fit.distributions import normal_quantile
from lars_sweep.fit.edges import Edges
from lars_sweep.fit.engine import fit_many
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.power_draws import center
from lars_sweep.nouns import count

_NORMAL_95 = 1.959964
_ONE_SIDED_95 = float(normal_quantile(0.95))
_WIDEST_USEFUL = 0.5
"""Octaves: an edge known to a half octave still tells neighboring LRs of a usual grid apart."""
_AHEAD = 2.0
"""Akaike's criterion by which one form must lead another to be told from it."""
_TRUE_FORM = "saturating"
"""The form of `surface.AssumedSurface.best_lr`."""


@dataclass(frozen=True, slots=True)
class Chance:
    """A statement and the share of the repetitions that allow it."""

    statement: str
    probability: float
    equivalence: bool = False


def chances(
    edges: Mapping[int, Edges], levels: Mapping[int, float], margin: float
) -> Iterator[Chance]:
    """Statements on edges, on how the best LR grows, and on equal accuracy.

    Args:
        edges: of every repetition, by batch.
        levels: the true plateau of each batch, percent.
        margin: difference of accuracy that counts as none, points.
    """
    limits = [limit for found in edges.values() for limit in (found.low_limits, found.high_limits)]
    narrow = [_width(limit) <= _WIDEST_USEFUL for limit in limits]
    yield _chance(
        f"both edges of every batch are known to {_WIDEST_USEFUL:g} octave",
        np.all(narrow, axis=0),
    )
    yield from _growth(edges)
    yield from _equal_accuracy(edges, levels, margin)


def _chance(statement: str, happens: npt.NDArray[np.bool_], *, equivalence: bool = False) -> Chance:
    return Chance(statement, float(np.mean(happens)), equivalence)


def _width(limits: FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        width = limits[:, 1] - limits[:, 0]
    return np.where(np.isfinite(width), width, np.inf)


def _growth(edges: Mapping[int, Edges]) -> Iterator[Chance]:
    if len(edges) < MINIMUM_BATCHES:
        return
    batch = np.array(list(edges), dtype=np.float64)
    y, weights = _best_lrs(edges)
    alpha, se = _slopes(np.log2(batch), y, weights)
    for name, value in (("linear", 1.0), ("square-root", 0.5), ("constant", 0.0)):
        equal = np.abs(alpha - value) < MARGIN - _ONE_SIDED_95 * se
        rejected = np.abs(alpha - value) > _NORMAL_95 * se
        yield _chance(f"{name} scaling of the best LR is rejected", rejected & ~equal)
    known = np.isfinite(se)
    middle = float(np.median(alpha[known])) if known.any() else 0.0
    shown = np.abs(alpha - middle) < MARGIN - _ONE_SIDED_95 * se
    yield _chance(
        f"the exponent of the best LR is shown to be a value within ±{MARGIN:g}, if it is",
        shown,
        equivalence=True,
    )
    yield from _forms(batch, y, weights)


def _forms(batch: FloatArray, y: FloatArray, weights: FloatArray) -> Iterator[Chance]:
    """Repetitions without all best LRs tell no forms apart."""
    all_known = np.all(weights > 0, axis=1)
    criteria: dict[str, FloatArray] = {}
    if all_known.any():
        for form in LR_FORMS:
            logs = y[all_known] * np.log(2.0)
            theta, beta, rss = fit_many(
                form, batch[:, None], logs, weights[all_known] / np.log(2.0) ** 2
            )
            criteria[form.name] = rss + 2.0 * (theta.shape[1] + beta.shape[1])
    true = criteria.get(_TRUE_FORM, np.zeros(0))
    others = [value for name, value in criteria.items() if name != _TRUE_FORM]
    ahead = true + _AHEAD < criteria.get("power", np.zeros(0))
    picked = np.all([true < value for value in others], axis=0) if others else ahead
    share = float(np.mean(all_known))
    for statement, happens in (
        ("saturation of the best LR is told from a power law, as assumed true", ahead),
        (f"saturation is picked among {len(LR_FORMS)} forms, as assumed true", picked),
    ):
        yield Chance(statement, share * float(np.mean(happens)) if len(happens) else 0.0)


def _best_lrs(edges: Mapping[int, Edges]) -> tuple[FloatArray, FloatArray]:
    """log2 of the best LRs (R, batches) and their inverse variances, 0 where unknown."""
    middle = np.stack([center(found) for found in edges.values()], axis=-1)
    widths = [
        np.hypot(_width(found.low_limits), _width(found.high_limits)) for found in edges.values()
    ]
    se = np.stack(widths, axis=-1) / (4 * _NORMAL_95)
    usable = np.isfinite(middle) & np.isfinite(se) & (se > 0)
    weights = np.where(usable, 1.0 / np.where(usable, se, 1.0) ** 2, 0.0)
    return np.where(usable, middle, 0.0), weights


def _slopes(x: FloatArray, y: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted slopes of y (R, n) on x (n,) and their standard errors (R,), infinite if unknown."""
    total = np.maximum(weights.sum(axis=1), 1e-300)
    apart = x - ((weights @ x) / total)[:, None]
    lever = np.sum(weights * apart**2, axis=1)
    safe = np.where(lever > 0, lever, 1.0)
    slope = np.sum(weights * apart * y, axis=1) / safe
    return slope, np.where(lever > 0, 1.0 / np.sqrt(safe), np.inf)


def _equal_accuracy(
    edges: Mapping[int, Edges], levels: Mapping[int, float], margin: float
) -> Iterator[Chance]:
    """Two one-sided tests of each larger batch's plateau against the smallest batch's."""
    (small, base), *rest = edges.items()
    for batch, found in rest:
        true = levels[batch] - levels[small]
        apart = np.abs(found.plateau - base.plateau - true)
        room = margin - _ONE_SIDED_95 * np.hypot(found.plateau_se, base.plateau_se)
        yield _chance(
            f"batch {batch} is shown as accurate as {small} within ±{count(margin, 'point')}, "
            "if it is",
            apart < room,
            equivalence=True,
        )
