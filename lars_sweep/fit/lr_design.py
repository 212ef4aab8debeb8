"""Cells over learning rates as the one replicate that `edges.find_edges` takes."""

from __future__ import annotations

import numpy as np

from lars_sweep.fit.cells import Cells
from lars_sweep.fit.edges import Design

MINIMUM_LRS = 4
"""Finished LRs below which no curve over LRs is fitted."""
_FINEST, _PER_GAP = 1 / 32, 16


def resolution(design: Design) -> float:
    """Step in octaves at which edges are searched: a sixteenth of the closest LRs' distance."""
    gaps = np.diff(np.unique(design.x))
    return float(max(_FINEST, gaps.min() / _PER_GAP)) if len(gaps) else _FINEST


def design_of(table: Cells, lr: str) -> Design:
    """A design of one replicate, NaN for the seeds that a cell lacks; ``lr`` is a key column."""
    most = max((len(sample) for sample in table.samples), default=0)
    samples = np.full((1, len(table), max(most, 1)), np.nan)
    for i, sample in enumerate(table.samples):
        samples[0, i, : len(sample)] = sample
    return Design(x=np.log2(table.keys[lr]), samples=samples, diverged=table.diverged[None])
