"""The linear half of variable projection: least squares under linear inequalities, exactly.

Curves here are linear in two or three parameters once their shape is fixed. With so few, the
constrained optimum is found by trying every face of the feasible set, which is exact, has no start
value, and runs over thousands of shapes and replicates at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# A pivot below this share of its diagonal means that the columns are collinear in double precision,
# and one below the floor that a column is zero for all purposes.
_SINGULAR = 1e-13
_FLOOR = 1e-100
# Constraints are met up to this share of their own scale.
_SLACK = 1e-9


@dataclass(frozen=True)
class Inequalities:
    """The feasible set ``{beta: rows @ beta <= limits}``; rows (m, p), limits (m,)."""

    rows: FloatArray
    limits: FloatArray

    @cached_property
    def faces(self) -> list[tuple[FloatArray, FloatArray]]:
        """Every face as ``beta = origin + basis @ z``: origins (p,), bases (p, free)."""
        p = self.rows.shape[1]
        found = []
        for size in range(p + 1):
            for chosen in combinations(range(len(self.rows)), size):
                active = self.rows[list(chosen)].reshape(size, p)
                if np.linalg.matrix_rank(active) < size:
                    continue
                origin = np.linalg.pinv(active) @ self.limits[list(chosen)]
                _, _, vt = np.linalg.svd(active)
                found.append((origin, vt[size:].T))
        return found

    def holds(self, beta: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether beta (..., p) is feasible, up to rounding."""
        slack = _SLACK * (1.0 + np.abs(self.limits))
        inside: npt.NDArray[np.bool_] = np.all(beta @ self.rows.T <= self.limits + slack, axis=-1)
        return inside

    def active(self, beta: FloatArray) -> npt.NDArray[np.bool_]:
        """Which constraints beta (p,) meets with equality, up to rounding (m,)."""
        slack = _SLACK * (1.0 + np.abs(self.limits))
        return np.asarray(self.rows @ beta >= self.limits - slack)


def free(p: int) -> Inequalities:
    """No constraint on p parameters."""
    return Inequalities(np.zeros((0, p)), np.zeros(0))


def solve_spd(gram: FloatArray, right: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Solve small symmetric positive systems (..., q, q) @ z = (..., q); False where singular."""
    q = right.shape[-1]
    shape = np.broadcast_shapes(gram.shape[:-2], right.shape[:-1])
    matrix = [[gram[..., i, j] for j in range(q)] for i in range(q)]
    vector = [right[..., i] for i in range(q)]
    regular = np.ones(shape, dtype=bool)
    for i in range(q):
        pivot = matrix[i][i]
        good = pivot > np.maximum(_SINGULAR * gram[..., i, i], _FLOOR)
        regular &= good
        inverse = 1.0 / np.where(good, pivot, 1.0)
        for j in range(i + 1, q):
            factor = matrix[j][i] * inverse
            vector[j] = vector[j] - factor * vector[i]
            for k in range(i, q):
                matrix[j][k] = matrix[j][k] - factor * matrix[i][k]
        matrix[i] = [entry * inverse for entry in matrix[i]]
        vector[i] = vector[i] * inverse
    for i in reversed(range(q)):
        for j in range(i):
            vector[j] = vector[j] - matrix[j][i] * vector[i]
    z = (
        np.stack([np.broadcast_to(v, shape) for v in vector], axis=-1)
        if q
        else np.zeros((*shape, 0))
    )
    return z, regular


def constrained_lstsq(
    design: FloatArray, y: FloatArray, weights: FloatArray, feasible: Inequalities
) -> tuple[FloatArray, FloatArray]:
    """Minimise ``sum(weights * (y - design @ beta)**2)`` over the feasible set.

    Args:
        design: (..., n, p).
        y: (..., n); leading dimensions broadcast against those of ``design``.
        weights: (..., n), inverse variances.
        feasible: linear constraints on beta.

    Returns:
        beta (..., p) and the weighted residual sum of squares (...,), infinite where the feasible
        set is empty.
    """
    shape = np.broadcast_shapes(design.shape[:-2], y.shape[:-1])
    best_beta = np.zeros((*shape, design.shape[-1]))
    best_rss = np.full(shape, np.inf)
    for origin, basis in feasible.faces:
        columns = design @ basis
        rest = y - design @ origin
        weighted = columns * weights[..., None]
        gram = np.swapaxes(weighted, -1, -2) @ columns
        right = (np.swapaxes(weighted, -1, -2) @ rest[..., None])[..., 0]
        z, regular = solve_spd(gram, right)
        residual = rest - (columns @ z[..., None])[..., 0]
        rss = np.sum(weights * residual * residual, axis=-1)
        beta = origin + z @ basis.T
        better = regular & (rss < best_rss) & feasible.holds(beta)
        best_rss = np.where(better, rss, best_rss)
        best_beta = np.where(better[..., None], beta, best_beta)
    return best_beta, best_rss


def lstsq_on_line(
    design: FloatArray,
    y: FloatArray,
    weights: FloatArray,
    feasible: Inequalities,
    functional: FloatArray,
    value: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """`constrained_lstsq` of at most two parameters under ``functional @ beta == value``.

    Args:
        design: (..., n, p) with p = 1 or 2.
        y: (..., n).
        weights: (..., n).
        feasible: linear constraints on beta.
        functional: (..., p).
        value: (...,).

    Returns:
        beta (..., p) and the residual sum of squares, infinite where the line misses the set.
    """
    square = np.sum(functional * functional, axis=-1)
    reachable = square > _FLOOR
    # A functional that all but vanishes asks for parameters beyond double precision: no solution.
    with np.errstate(over="ignore", invalid="ignore"):
        beta = functional * (value / np.where(reachable, square, 1.0))[..., None]
        if design.shape[-1] == 2:
            direction = np.stack([-functional[..., 1], functional[..., 0]], axis=-1)
            column = (design @ direction[..., None])[..., 0]
            rest = y - (design @ beta[..., None])[..., 0]
            norm = np.sum(weights * column * column, axis=-1)
            z = np.sum(weights * column * rest, axis=-1) / np.where(norm > _FLOOR, norm, np.inf)
            low, high = _feasible_segment(feasible, beta, direction)
            beta = beta + np.clip(z, low, high)[..., None] * direction
        residual = y - (design @ beta[..., None])[..., 0]
        rss = np.sum(weights * residual * residual, axis=-1)
        possible = reachable & np.isfinite(rss) & feasible.holds(beta)
    return beta, np.where(possible, rss, np.inf)


def _feasible_segment(
    feasible: Inequalities, start: FloatArray, direction: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Limits of z for which ``start + z * direction`` is feasible (low may exceed high)."""
    slope = direction @ feasible.rows.T
    room = feasible.limits - start @ feasible.rows.T
    with np.errstate(divide="ignore"):
        limit = room / slope
    low = np.max(np.where(slope < 0, limit, -np.inf), axis=-1, initial=-np.inf)
    high = np.min(np.where(slope > 0, limit, np.inf), axis=-1, initial=np.inf)
    return low, np.maximum(high, low)
