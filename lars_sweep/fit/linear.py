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

    @cached_property
    def terms(self) -> list[tuple[np.ndarray, FloatArray]]:
        """Per row the indices of the parameters that it holds, and their factors."""
        return [(at, row[at]) for row in self.rows for at in [np.flatnonzero(row)]]

    def holds(self, beta: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether beta (..., p) is feasible, up to rounding."""
        slack = _SLACK * (1.0 + np.abs(self.limits))
        inside: npt.NDArray[np.bool_] = np.ones(beta.shape[:-1], dtype=bool)
        for row, limit in zip(self.terms, self.limits + slack, strict=True):  # few, of many betas
            inside &= _of_row(row, beta) <= limit
        return inside

    def active(self, beta: FloatArray) -> npt.NDArray[np.bool_]:
        """Which constraints beta (p,) meets with equality, up to rounding (m,)."""
        slack = _SLACK * (1.0 + np.abs(self.limits))
        return np.asarray(self.rows @ beta >= self.limits - slack)


def free(p: int) -> Inequalities:
    """No constraint on p parameters."""
    return Inequalities(np.zeros((0, p)), np.zeros(0))


def _of_row(row: tuple[np.ndarray, FloatArray], beta: FloatArray) -> FloatArray:
    """One of `Inequalities.terms` times beta (..., p): (...,)."""
    at, factors = row
    if len(at) == 1:  # of most constraints
        return np.asarray(factors[0] * beta[..., at[0]])
    return dot(factors, beta[..., at])


def dot(one: FloatArray, other: FloatArray) -> FloatArray:
    """``sum(one * other, axis=-1)`` by columns: several times as fast for the few there are."""
    total = one[..., 0] * other[..., 0]
    for i in range(1, one.shape[-1]):
        total = total + one[..., i] * other[..., i]
    return np.asarray(total)


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
            for k in range(i + 1, q):
                matrix[j][k] = matrix[j][k] - factor * matrix[i][k]
        matrix[i][i + 1 :] = [entry * inverse for entry in matrix[i][i + 1 :]]
        vector[i] = vector[i] * inverse
    for i in reversed(range(q)):
        for j in range(i):
            vector[j] = vector[j] - matrix[j][i] * vector[i]
    z = np.empty((*shape, q))
    for i in range(q):
        z[..., i] = vector[i]
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
    beta, rss, inside = _on_face(design, y, weights, feasible, feasible.faces[0])
    outside = ~inside
    if not outside.any():
        return beta, rss
    # Where the free optimum is not feasible, and only there, the others are tried.
    shape, n = outside.shape, design.shape[-2]
    design = np.broadcast_to(design, (*shape, *design.shape[-2:]))[outside]
    y, weights = (np.broadcast_to(part, (*shape, n))[outside] for part in (y, weights))
    best_beta = np.zeros((len(y), design.shape[-1]))
    best_rss = np.full(len(y), np.inf)
    for face in feasible.faces[1:]:
        own_beta, own_rss, good = _on_face(design, y, weights, feasible, face)
        better = good & (own_rss < best_rss)
        best_rss = np.where(better, own_rss, best_rss)
        best_beta = np.where(better[..., None], own_beta, best_beta)
    beta[outside], rss[outside] = best_beta, best_rss
    return beta, rss


def _on_face(
    design: FloatArray,
    y: FloatArray,
    weights: FloatArray,
    feasible: Inequalities,
    face: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Optimum of a face's plane, its residual sum of squares, and whether it is a solution."""
    origin, basis = face
    whole = basis.shape[1] == len(origin)  # no constraint met: the origin is 0, the basis the unit
    columns = design if whole else design @ basis
    rest = y if whole else y - design @ origin
    weighted = columns * weights[..., None]
    gram = np.swapaxes(weighted, -1, -2) @ columns
    right = (np.swapaxes(weighted, -1, -2) @ rest[..., None])[..., 0]
    z, regular = solve_spd(gram, right)
    residual = rest - (columns @ z[..., None])[..., 0]
    rss = np.sum(weights * residual * residual, axis=-1)
    beta = z if whole else origin + z @ basis.T
    good = np.asarray(regular & np.isfinite(rss) & feasible.holds(beta))
    return beta, np.asarray(rss), good


def rss_on_line(
    design: FloatArray,
    y: FloatArray,
    weights: FloatArray,
    feasible: Inequalities,
    functional: FloatArray,
    value: FloatArray,
) -> FloatArray:
    """The RSS of `lstsq_on_line` for many data and shapes of two parameters, from their moments.

    Ten times faster where all share the designs, and a little less exact: to choose among shapes.

    Args:
        design: (G, n, 2).
        y: (m, n), or (1, n) for the same data m times.
        weights: (m, n) or (1, n).
        feasible: linear constraints on beta.
        functional: (m, G, 2).
        value: (m, G).
    """
    g = len(design)
    first, second = design[..., 0].T, design[..., 1].T
    squares = np.concatenate([first * first, first * second, second * second], axis=1)
    a, b, c = np.moveaxis((weights @ squares).reshape(-1, 3, g), 1, 0)
    weighted = weights * y
    u, v = np.moveaxis((weighted @ np.concatenate([first, second], axis=1)).reshape(-1, 2, g), 1, 0)
    square = dot(functional, functional)
    reachable = square > _FLOOR
    with np.errstate(over="ignore", invalid="ignore"):
        beta = functional * (value / np.where(reachable, square, 1.0))[..., None]
        direction = np.stack([-functional[..., 1], functional[..., 0]], axis=-1)
        d, e = direction[..., 0], direction[..., 1]
        mixed = 2.0 * d * e * b
        norm, most = a * d * d + mixed + c * e * e, a * d * d + np.abs(mixed) + c * e * e
        slope = d * (u - a * beta[..., 0] - b * beta[..., 1])
        slope += e * (v - b * beta[..., 0] - c * beta[..., 1])
        z = slope / np.where(norm > _SINGULAR * most + _FLOOR, norm, np.inf)
        low, high = _feasible_segment(feasible, beta, direction)
        beta = beta + np.clip(z, low, high)[..., None] * direction
        p, q = beta[..., 0], beta[..., 1]
        rss = np.sum(weighted * y, axis=-1)[:, None] - 2.0 * (u * p + v * q)
        rss += a * p * p + 2.0 * b * p * q + c * q * q
        possible = reachable & np.isfinite(rss) & feasible.holds(beta)
    return np.asarray(np.where(possible, rss, np.inf))


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
    square = dot(functional, functional)
    reachable = square > _FLOOR
    # A functional that all but vanishes asks for parameters beyond double precision: no solution.
    with np.errstate(over="ignore", invalid="ignore"):
        beta = functional * (value / np.where(reachable, square, 1.0))[..., None]
        if design.shape[-1] == 2:
            direction = np.stack([-functional[..., 1], functional[..., 0]], axis=-1)
            column = dot(design, direction[..., None, :])
            residual = y - dot(design, beta[..., None, :])
            weighted = weights * column
            norm = np.einsum("...n,...n->...", weighted, column)
            slope = np.einsum("...n,...n->...", weighted, residual)
            z = slope / np.where(norm > _FLOOR, norm, np.inf)
            z = np.clip(z, *_feasible_segment(feasible, beta, direction))[..., None]
            beta, residual = beta + z * direction, residual - z * column
        else:
            residual = y - dot(design, beta[..., None, :])
        rss = np.einsum("...n,...n->...", weights * residual, residual)
        possible = reachable & np.isfinite(rss) & feasible.holds(beta)
    return beta, np.where(possible, rss, np.inf)


def _feasible_segment(
    feasible: Inequalities, start: FloatArray, direction: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Limits of z for which ``start + z * direction`` is feasible (low may exceed high)."""
    shape = np.broadcast_shapes(start.shape[:-1], direction.shape[:-1])
    low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    with np.errstate(divide="ignore"):
        for row, limit in zip(feasible.terms, feasible.limits, strict=True):  # few, long arrays
            slope = _of_row(row, direction)
            end = (limit - _of_row(row, start)) / slope
            # not `where` of maximum, which takes element after element
            np.maximum(low, np.where(slope < 0, end, -np.inf), out=low)
            np.minimum(high, np.where(slope > 0, end, np.inf), out=high)
    return low, np.maximum(high, low)
