"""The gradient noise scale of one trial, from what its trainer measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import groupby

import numpy as np

from lars_sweep.fit.answers import Answer
from lars_sweep.fit.noise_scale import estimate_noise_scale, noise_parts
from lars_sweep.spec.trainer import NoiseNorms


def noise_scales(rows: Iterable[NoiseNorms]) -> dict[int, Answer]:
    """B_simple = tr(Σ)/|G|² in samples, with Fieller's interval, by step.

    Args:
        rows: of one trial, in the order of its steps; numbers that are not finite, as where it
            diverges, count as not measured.
    """
    measured = (row for row in rows if math.isfinite(row.micro_square))
    found = {}
    for step, group in groupby(measured, key=lambda row: row.step):
        of_step = list(group)
        parts = noise_parts(
            np.array([row.micro_square for row in of_step]),
            np.array([row.mean_square for row in of_step]),
            of_step[0].micro_batch,
            of_step[0].micro_batches,
        )
        found[step] = estimate_noise_scale(parts)
    return found
