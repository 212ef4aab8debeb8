"""The fixed validation part of a training set (PROTOCOL.md 1)."""

from __future__ import annotations

import numpy as np

from lars_sweep.data.dataset import Indices, Labels
from lars_sweep.data.stream import random_key, splitmix64


def validation_split(labels: Labels, share: float) -> tuple[Indices, Indices]:
    """Cut a training set in two; a function of the labels and the share only, never of a seed.

    The validation part has ``round(share·N)`` samples. Each class gives its share of them, rounded
    down or up (largest remainders first, lower class first among equals), so classes that are equal
    in the whole differ by at most one sample. Within a class, samples come in SplitMix64 order.

    Args:
        labels: (N,) int64, class of each sample, ≥ 0.
        share: part that goes to validation, 0 ≤ share < 1.

    Returns:
        (train, validation): positions in ``labels``, int64, each increasing, disjoint, together
        0 … N−1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"the validation share must be in [0, 1), got {share}")
    total = round(share * len(labels))
    counts = np.bincount(labels)
    quotas = counts * (total / max(1, len(labels)))
    taken = np.floor(quotas).astype(np.int64)
    by_remainder = np.argsort(taken - quotas, kind="stable")
    taken[by_remainder[: total - int(taken.sum())]] += 1

    rank = splitmix64(random_key(0, "validation"), np.arange(len(labels)))
    order = np.lexsort((rank, labels))
    starts = np.cumsum(counts) - counts
    place_in_class = np.arange(len(labels)) - np.repeat(starts, counts)
    in_validation = np.zeros(len(labels), dtype=bool)
    in_validation[order[place_in_class < np.repeat(taken, counts)]] = True
    return np.flatnonzero(~in_validation), np.flatnonzero(in_validation)
