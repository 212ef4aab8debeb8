"""How narrow can the interval of an edge be that does not know the family?

    python analysis/benchmarks/coverage_bounds.py

prints, per truth of coverage_edges.py whose noise is normal, the least expected width, under that
truth, of any 95 % confidence set of an edge: of one that has to hold under the truth's own family,
and of one that has to hold under both. The ratio of the two is the price of not knowing the family,
to set beside the 1.5 that PROTOCOL.md's gate allows.

The least width is a bound, not a method (Pratt 1961): a set that holds e in 95 % of the cases where
e is the edge is a test of every e at 5 %, and no such test has more power than the best one of any
single curve with its edge at e. Between two curves at distance d (in standard errors) that power is
Phi(d - 1.645), so the set holds e in at least Phi(1.645 - d); the integral over e is the expected
width. The noise of each cell counts as known, which favours the bound.
"""

from __future__ import annotations

from typing import get_args

import numpy as np
from coverage_edges import DELTA, LRS, SCENARIOS, SEEDS, Truth
from scipy import special

from lars_sweep.fit.edges import Family
from lars_sweep.fit.flat_top import upper_edge_profiles

DRAWS, STEP, LEVEL = 4000, 1 / 128, 0.95


def _weights(truth: Truth) -> np.ndarray:
    """Inverse variances of the cell means (n,); 0 where every run diverges."""
    seeds = truth.draw(np.random.default_rng(17), DRAWS).samples[..., 0]
    finished = np.isfinite(seeds).all(axis=0)
    variance = np.var(seeds[:, finished], axis=0)
    weights = np.zeros(len(LRS))
    weights[finished] = SEEDS / variance
    return weights


def least_width(truth: Truth, side: str, families: tuple[Family, ...]) -> float:
    """Octaves, within the grid of LRs."""
    turn = slice(None) if side == "high" else slice(None, None, -1)
    x = LRS if side == "high" else -LRS[::-1]
    y, weights = truth.curve(LRS)[None, turn], _weights(truth)[None, turn]
    profiles = upper_edge_profiles(x, np.where(weights > 0, y, 0.0), weights, DELTA, STEP)
    edges = profiles.edges[profiles.edges <= x[-1]]
    distance = np.min([getattr(profiles, name)[0, : len(edges)] for name in families], axis=0)
    held = special.ndtr(special.ndtri(LEVEL) - np.sqrt(np.maximum(distance, 0.0)))
    return float(np.sum(held) * STEP)


def normal_truths() -> dict[str, Truth]:
    """Those whose noise the bound describes: normal, and no run diverges by chance."""
    noises = ("normal", "level", "far")
    return {n: t for n, t in SCENARIOS.items() if t.noise in noises and t.diverge == 1.0}


if __name__ == "__main__":
    for name, truth in normal_truths().items():
        for side in ("low",) if truth.open_above else ("low", "high"):
            own = least_width(truth, side, (truth.family,))
            both = least_width(truth, side, get_args(Family))
            print(f"{name}, {side}: {own:.3f} octave, both {both:.3f}, ratio {both / own:.2f}")
