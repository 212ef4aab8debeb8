"""Minima over one or two shapes, for many problems at once and without start values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lars_sweep.fit.linear import FloatArray, solve_spd

Objective = Callable[[FloatArray], FloatArray]
"""Residual sums of squares (..., G) of shapes (..., G, q)."""

_LEAP = 16.0
"""How much finer the next lattice is where a parabola has found the minimum."""
_STRIDES = np.array([1.0, 4.0, 16.0])


def minimise(
    objective: Objective,
    axes: list[FloatArray],
    count: int,
    precision: float = 1e-11,
    turn: Callable[[FloatArray], FloatArray] | None = None,
) -> FloatArray:
    """Shapes (m, q) that minimise the objective of each problem: a grid, then ever finer lattices.

    Global as far as the grid resolves the objective, exact where that is smooth.

    A lattice lies inside the ranges, so that a minimum at an end of one is found like any other. If
    the parabola through it has its minimum there, a much finer lattice around that one is next. A
    finer one without anything as low was wrong, as at a kink, where limits of beta begin to hold:
    then the best point stays the middle, the lattice shrinks slowly (not while its best point lies
    on its rim), and strides along the last move are tried, which follow a bent valley.

    Args:
        objective: of shapes (G, q) common to all problems, and of (m, L, q).
        axes: of the grid, two points each at least; their ends are those of the search.
        count: m.
        precision: of the shapes, absolute below 1, else relative: the last lattice's step.
        turn: coordinates (m, G, q) of each problem's own, for shapes (G, q); those after the grid
            are then in these, what is returned included, and the search ends where they do: a
            slanting range is searched as far as its corners.
    """
    grid = _product(axes)
    chosen = np.argmin(np.broadcast_to(objective(grid), (count, len(grid))), axis=-1)
    if not axes:
        return np.asarray(grid[chosen])
    points = np.broadcast_to(grid if turn is None else turn(grid), (count, *grid.shape))
    best, low, high = points[np.arange(count), chosen], points.min(1), points.max(1)
    half_width = 2 if len(axes) == 2 else 4
    lattice = _product([np.arange(-half_width, half_width + 1.0)] * len(axes))
    solution = _parabola(lattice)
    step = np.broadcast_to([axis[1] - axis[0] for axis in axes], best.shape) / half_width
    middle, before, lowest = best, best, np.full(count, np.inf)
    leapt = done = np.zeros(count, dtype=bool)
    for _ in range(60):
        middle = np.clip(middle, low + half_width * step, high - half_width * step)
        candidates = middle[:, None] + lattice * step[:, None]
        candidates = np.clip(candidates, low[:, None], high[:, None])
        values = objective(candidates)
        nearest, found = _lowest(candidates, values)
        failed = leapt & (found > lowest * (1.0 + 1e-12))
        limits = (low - middle) / step, (high - middle) / step
        move, bowl = _vertex(len(axes), solution, values, limits)
        leaps = bowl & ~failed & np.all(np.abs(move) <= half_width, axis=-1)
        # At an end of the range nothing lies beyond the rim.
        outermost = (np.abs(nearest - middle) > (half_width - 0.5) * step) & (nearest > low)
        rim = np.any(outermost & (nearest < high), axis=-1)
        best, lowest = _lower((best, lowest), (nearest, found), ~done)
        done = done | (np.max(values, axis=-1) <= found * (1.0 + 1e-14))  # the rest is rounding
        vertex = np.clip(middle + move * step, low, high)
        slow = ~(leaps | done)
        if np.any(slow):
            strides = best[:, None] + _STRIDES[:, None] * (best - before)[:, None]
            tried = np.concatenate([vertex[:, None], strides], axis=1)
            tried = np.clip(tried, low[:, None], high[:, None])
            before = np.where(slow[:, None], best, before)
            best, lowest = _lower((best, lowest), _lowest(tried, objective(tried)), slow)
        middle = np.where(leaps[:, None], vertex, best)
        shrink = np.where(leaps, _LEAP, np.where(rim, 1.0, half_width))
        step = step / np.where(failed, half_width / _LEAP, shrink)[:, None]
        leapt = leaps
        done = done | np.all(step < precision * (1.0 + np.abs(best)), axis=-1)
        if np.all(done):
            break
    return np.asarray(best)


def _lowest(points: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The points (m, q) of least value among (m, L, q), and these values (m,)."""
    at = np.arange(len(values)), np.argmin(values, axis=-1)
    return points[at], values[at]


def _lower(
    best: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray], where: np.ndarray
) -> tuple[FloatArray, FloatArray]:
    """Points and values, replaced by others that are no higher, in some places (m,) only.

    What is found in one place of a batch thus does not hang on how long another takes.
    """
    taken = where & (other[1] <= best[1])
    return np.where(taken[:, None], other[0], best[0]), np.where(taken, other[1], best[1])


def _parabola(lattice: FloatArray) -> FloatArray:
    """What turns lattice values (L,) into a parabola by least squares (L, 1 + q + pairs)."""
    q = lattice.shape[1]
    squares = [lattice[:, i] * lattice[:, j] for i in range(q) for j in range(i, q)]
    monomials = np.column_stack([np.ones(len(lattice)), lattice, *squares])
    return np.asarray(np.linalg.pinv(monomials).T)


def _vertex(
    q: int, solution: FloatArray, values: FloatArray, limits: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, np.ndarray]:
    """Minimum (..., q) within limits of the parabola through lattice values (..., L), in steps.

    Also whether it is one (...,): all values are finite, and the parabola is convex.
    """
    known = np.isfinite(values)
    finite = values
    if not known.all():
        worst = np.max(values, axis=-1, keepdims=True, where=known, initial=0.0)
        finite = np.where(known, values, worst)
    coefficients = finite @ solution
    slope = coefficients[..., 1 : 1 + q]
    hessian = np.zeros((*values.shape[:-1], q, q))
    pairs = [(i, j) for i in range(q) for j in range(i, q)]
    for (i, j), bend in zip(pairs, np.moveaxis(coefficients[..., 1 + q :], -1, 0), strict=True):
        hessian[..., i, j] += bend
        hessian[..., j, i] += bend
    free, convex = solve_spd(hessian, -slope)
    vertex = np.clip(np.where(convex[..., None], free, 0.0), *limits)
    if q > 1 and np.any(vertex != free):
        # Along a limit that holds the minimum is another than the clipped one: by coordinates.
        for i in [*range(q)] * 3:
            rest = slope[..., i] + np.sum(hessian[..., i, :] * vertex, axis=-1)
            bend = np.where(convex, hessian[..., i, i], np.inf)
            own = vertex[..., i] - rest / bend
            vertex[..., i] = np.clip(own, limits[0][..., i], limits[1][..., i])
    return vertex, convex & known.all(axis=-1)


def _product(axes: list[FloatArray]) -> FloatArray:
    """All combinations of the axes (G, q)."""
    if not axes:
        return np.zeros((1, 0))
    return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=-1)
