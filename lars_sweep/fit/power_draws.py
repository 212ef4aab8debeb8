"""Sweeps drawn from an assumed surface at one batch, and the edges that each would find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lars_sweep.fit.edges import Design, Edges, find_edges
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.sigma import MINIMUM_NU
from lars_sweep.fit.surface import AssumedSurface

_STEP, _POSITIONS = 1 / 16, 64
"""Resolution of the search, octaves; coarser where a grid is wider than 64 steps of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """What is drawn, once per repetition R."""

    batch: int
    steps: float
    lrs: FloatArray
    """(n,), ascending."""
    seeds: int
    sigma: float
    """Of one seed, points."""
    delta: float
    moved: FloatArray
    """Octaves by which the best LR is moved in each repetition (R,)."""


def draw_edges(draws: Draws, surface: AssumedSurface, rng: np.random.Generator) -> Edges:
    """Edges found in each repetition; infinite limits where no LR finished at all.

    Sigma is estimated from replicate seeds where the design has enough of them in every
    repetition, else taken as known.
    """
    shape = (len(draws.moved), len(draws.lrs), draws.seeds)
    relative = draws.lrs / np.exp2(draws.moved)[:, None]
    mean = surface.accuracy(relative, draws.batch, draws.steps)
    risk = surface.divergence(relative, draws.batch)
    samples = mean[..., None] + rng.normal(0.0, draws.sigma, shape)
    samples = np.where(rng.random(shape) < risk[..., None], np.nan, samples)
    some = np.asarray(np.any(np.isfinite(samples), axis=(1, 2)))
    ok = np.sum(np.isfinite(samples), axis=2)
    spare = np.sum(np.maximum(ok - 1, 0), axis=1)[some]
    known = len(spare) > 0 and int(spare.min()) >= MINIMUM_NU
    x = np.log2(draws.lrs)
    if not some.any():
        return _none(len(some))
    found = find_edges(
        Design(x=x, samples=samples[some], diverged=(draws.seeds - ok[some]).astype(np.float64)),
        draws.delta,
        sigma=None if known else draws.sigma,
        step=max(_STEP, float(np.ptp(x)) / _POSITIONS),
    )
    return found if some.all() else _filled(found, some)


def _none(count: int) -> Edges:
    nothing = np.full((count, 2), (-np.inf, np.inf))
    missing = np.full(count, np.nan)
    return Edges(
        low=np.full(count, -np.inf),
        low_limits=nothing,
        high=np.full(count, np.inf),
        high_limits=nothing,
        plateau=missing,
        plateau_se=missing,
    )


def _filled(found: Edges, some: npt.NDArray[np.bool_]) -> Edges:
    """Those of the repetitions with a finished LR in their places among all."""
    parts = {}
    for name in Edges.__slots__:
        whole = getattr(_none(len(some)), name).copy()
        whole[some] = getattr(found, name)
        parts[name] = whole
    return Edges(**parts)


def center(edges: Edges) -> FloatArray:
    """Middle of both edges (R,), NaN where one of them was not found."""
    found = np.isfinite(edges.low) & np.isfinite(edges.high)
    low, high = (np.where(found, edge, 0.0) for edge in (edges.low, edges.high))
    return np.where(found, 0.5 * (low + high), np.nan)
