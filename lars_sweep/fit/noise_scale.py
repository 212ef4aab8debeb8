"""Gradient noise scale ``B_simple = tr(Sigma)/|G|²`` at a frozen checkpoint (PROTOCOL.md 19).

From K independent micro-batches of size b, B = K b (McCandlish et al. 2018, appendix A.1), with
``s = mean |g_k|²`` and ``L = |mean g_k|²``: ``|G|² = (B L - b s)/(B - b)`` and
``tr(Sigma) = (s - L)/(1/b - 1/B)``, both unbiased. Their ratio is taken of means over steps, never
per step: the mean of ratios has no expectation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lars_sweep.fit.answers import Answer, Kind, not_identified
from lars_sweep.fit.distributions import student_quantile
from lars_sweep.fit.fieller import fieller
from lars_sweep.fit.linear import FloatArray
from lars_sweep.nouns import count

BLOCKS = 20
MINIMUM_BLOCKS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseParts:
    """Unbiased parts of the noise scale per measurement, (n,) each."""

    signal: FloatArray
    """Estimates of |G|²; single ones may be negative."""
    noise: FloatArray
    """Estimates of tr(Sigma)."""


def noise_parts(
    micro_square: FloatArray, mean_square: FloatArray, micro: int, count: int
) -> NoiseParts:
    """Split gradient norms into signal and noise.

    Args:
        micro_square: mean of the squared norms of the micro-batch gradients (n,).
        mean_square: squared norm of their mean (n,).
        micro: micro-batch size b.
        count: micro-batches K, at least 2.
    """
    batch = micro * count
    signal = (batch * mean_square - micro * micro_square) / (batch - micro)
    noise = (micro_square - mean_square) / (1.0 / micro - 1.0 / batch)
    return NoiseParts(signal=signal, noise=noise)


def mean_parts(runs: Sequence[NoiseParts]) -> NoiseParts:
    """Mean over runs, measurement by measurement; of runs that differ in length the first ones.

    The measurements of the mean are independent, as those of each run are: nothing that differs
    between runs but stays within them enters their spread.
    """
    shortest = min(len(run.signal) for run in runs)
    return NoiseParts(
        signal=np.mean([run.signal[:shortest] for run in runs], axis=0),
        noise=np.mean([run.noise[:shortest] for run in runs], axis=0),
    )


def estimate_noise_scale(parts: NoiseParts) -> Answer:
    """``sum noise / sum signal`` with Fieller's interval over 20 block means.

    ``at_least`` where the signal is not distinguishable from 0: measure longer, or at larger B.
    """
    n = len(parts.signal)
    blocks = min(BLOCKS, n)
    if blocks < MINIMUM_BLOCKS:
        return not_identified(f"{count(n, 'measurement')}, {MINIMUM_BLOCKS} needed", "samples")
    edges = np.linspace(0, n, blocks + 1).astype(int)
    means = np.array(
        [(np.mean(parts.noise[i:j]), np.mean(parts.signal[i:j])) for i, j in pairwise(edges)]
    )
    top, bottom = means.mean(axis=0)
    covariance = np.cov(means.T) / blocks
    interval = fieller(
        float(top),
        float(bottom),
        float(covariance[0, 0]),
        float(covariance[1, 1]),
        float(covariance[0, 1]),
        quantile=student_quantile(0.975, blocks - 1),
    )
    if interval.high is not None:
        value = float(top / bottom)
        return Answer(kind=Kind.BOUNDED, value=value, interval=interval, unit="samples")
    kind = Kind.AT_LEAST if interval.low is not None else Kind.NOT_IDENTIFIED
    reason = "the mean gradient is not distinguishable from 0 at this batch"
    estimate = float(top / bottom) if bottom > 0 else None
    return Answer(kind=kind, value=estimate, interval=interval, unit="samples", reason=reason)
