"""The fitted flat top as a curve over learning rates, to be drawn over the cells that it fits.

``f(LR) = A - kL max(0, log2 LL/LR)**2 - kR max(0, log2 LR/LR')**2`` as in `flat_top`, which needs
its profiles only. At the height A that the interval states, each side is one weighted slope per
knot: the best pair of knots is found on the grid of the search.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.linear import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class TopCurve:
    """A flat top; both knots are LRs."""

    height: float
    """A, percent."""
    low: float
    """LR below which accuracy falls."""
    high: float
    low_bend: float
    """kL, points per squared octave; 0: no fall on this side."""
    high_bend: float

    def at(self, lr: FloatArray) -> FloatArray:
        """Accuracy (m,), percent, at learning rates (m,)."""
        below = np.maximum(0.0, np.log2(self.low) - np.log2(lr))
        above = np.maximum(0.0, np.log2(lr) - np.log2(self.high))
        return np.asarray(self.height - self.low_bend * below**2 - self.high_bend * above**2)

    def scaled(self, factor: float) -> TopCurve:
        """The same in other units of LR."""
        return dataclasses.replace(self, low=self.low * factor, high=self.high * factor)


def top_curve(
    x: FloatArray, y: FloatArray, weights: FloatArray, height: float, step: float
) -> TopCurve:
    """The flat top of a given height with the smallest residuals.

    Args:
        x: log2 LR of the cells (n,), ascending.
        y: their means (n,), percent; any finite value where the weight is 0.
        weights: inverse variances (n,).
        height: of the plateau, percent.
        step: resolution of the knots, octaves.
    """
    knots = np.arange(x[0], x[-1] + step / 2, step)
    left, left_bend = _side(np.maximum(0.0, knots[:, None] - x) ** 2, height - y, weights)
    right, right_bend = _side(np.maximum(0.0, x - knots[:, None]) ** 2, height - y, weights)
    # The sides share no cell as long as the left knot is not beyond the right one.
    best = np.maximum.accumulate(left) + np.maximum.accumulate(right[::-1])[::-1]
    middle = int(np.argmax(best))
    low = int(np.argmax(left[: middle + 1]))
    high = middle + int(np.argmax(right[middle:]))
    return TopCurve(
        height=height,
        low=float(np.exp2(knots[low])),
        high=float(np.exp2(knots[high])),
        low_bend=float(left_bend[low]),
        high_bend=float(right_bend[high]),
    )


def _side(
    drop: FloatArray, behind: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Fall of the RSS and the curvature k >= 0 that brings it, per knot; ``drop`` (knots, n)."""
    square = drop**2 @ weights
    slope = np.maximum(drop @ (weights * behind), 0.0)
    safe = np.where(square > 0, square, 1.0)
    return slope**2 / safe, slope / safe
