"""Variable projection: the global optimum of a curve without start values, and its profiles.

The linear part of a `Form` is solved exactly for every point of a grid of shapes; the best point is
refined on ever finer lattices. A profile of any derived number adds one linear equation. Golub and
Pereyra 1973; Czech et al. 2026 (arXiv 2603.22339) for scaling curves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from lars_sweep.fit.answers import Interval
from lars_sweep.fit.distributions import f_quantile, student_cdf
from lars_sweep.fit.forms import Form
from lars_sweep.fit.linear import (
    FloatArray,
    constrained_lstsq,
    lstsq_on_line,
    rss_on_line,
    solve_spd,
)

# Resolution of shapes inside a profile: its RSS is then wrong by the square of this.
PROFILE = 1e-5

Objective = Callable[[FloatArray], FloatArray]
"""Residual sums of squares (..., G) of shapes (..., G, q)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Variance of one observation of weight 1, and how well it is known."""

    variance: float
    nu: float
    """Degrees of freedom of the variance; infinite where it is given."""
    source: str
    """replicates, user or residuals."""

    def threshold(self, level: float) -> float:
        """Rise of the RSS at the ends of an interval, ``s² F(level; 1, nu)``."""
        return self.variance * f_quantile(level, 1, self.nu)

    def confidence(self, root: FloatArray) -> FloatArray:
        """Distribution function of a signed root of a rise of the RSS in units of the variance."""
        return np.asarray(student_cdf(root, self.nu))


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Observations of a curve: x (n, d), y (n,), weights (n,) inverse to the variances."""

    x: FloatArray
    y: FloatArray
    weights: FloatArray

    def without(self, index: int) -> Data:
        """The data less one observation."""
        return self.subset(np.arange(len(self.y)) != index)

    def subset(self, keep: np.ndarray) -> Data:
        """The observations that a mask or an index array keeps."""
        return Data(x=self.x[keep], y=self.y[keep], weights=self.weights[keep])


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveFit:
    """One form fitted to one set of data."""

    form: Form
    data: Data
    theta: FloatArray
    """Shape parameters in the coordinates of the search (q,)."""
    beta: FloatArray
    """Linear parameters (p,)."""
    rss: float
    """Weighted residual sum of squares."""
    at_bound: tuple[str, ...]
    """Parameters that ended at an end of their range, which the data hence do not identify.

    A constraint on several linear parameters is named by all of them, as in ``a-b``.
    """

    @property
    def k(self) -> int:
        """Number of parameters."""
        return len(self.theta) + len(self.beta)

    @property
    def parameters(self) -> dict[str, float]:
        """Name and value of every parameter, in the units of the formula."""
        shape = zip(self.form.shape, self.form.natural(self.theta), strict=True)
        linear = zip(self.form.linear, self.beta, strict=True)
        return {name: float(value) for name, value in (*linear, *shape)}

    def predict(self, x: FloatArray) -> FloatArray:
        """The curve at x (m, d), (m,)."""
        curve = self.form.basis(self.theta, x) @ self.beta + self.form.offset(self.theta, x)
        return np.asarray(curve, dtype=np.float64)

    def residual_noise(self, least: int = 3) -> Noise | None:
        """Noise from the residuals; None below ``least`` spare observations, or of an exact fit."""
        spare = len(self.data.y) - self.k
        if spare < least or self.rss <= 1e-20:
            return None
        return Noise(variance=self.rss / spare, nu=float(spare), source="residuals")

    @property
    def aicc(self) -> float | None:
        """Corrected criterion, sigma from the residuals and counted; None where undefined."""
        return corrected_akaike(len(self.data.y), self.k + 1, self.rss)


def corrected_akaike(n: int, k: int, rss: float) -> float | None:
    """AICc ``n log(RSS/n) + 2k + 2k(k+1)/(n-k-1)``; None where undefined (n <= k + 1)."""
    if n <= k + 1 or rss <= 0:
        return None
    return float(n * np.log(rss / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1))


def _product(axes: list[FloatArray]) -> FloatArray:
    """All combinations of the axes (G, q)."""
    if not axes:
        return np.zeros((1, 0))
    return np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=-1)


_LEAP = 16.0
"""How much finer the next lattice is where a parabola has found the minimum."""
_STRIDES = np.array([1.0, 4.0, 16.0])


def minimise(
    objective: Objective,
    axes: list[FloatArray],
    count: int,
    precision: float = 1e-11,
) -> FloatArray:
    """Shapes (m, q) of ``count`` problems that minimise the objective: a grid, then finer lattices.

    A lattice lies inside the ranges, so that a minimum at an end of one is found like any other. If
    the parabola through it has its minimum there, a much finer lattice around that one is next. A
    finer one without anything as low was wrong, as at a kink, where limits of beta begin to hold:
    then the best point stays the middle, the lattice shrinks slowly (not while its best point lies
    on its rim), and strides along the last move are tried, which follow a bent valley.
    """
    grid = _product(axes)
    values = np.broadcast_to(objective(grid), (count, len(grid)))
    best = grid[np.argmin(values, axis=-1)]
    if not axes:
        return np.asarray(best)
    low = np.array([axis[0] for axis in axes])
    high = np.array([axis[-1] for axis in axes])
    half_width = 2 if len(axes) == 2 else 4
    lattice = _product([np.arange(-half_width, half_width + 1.0)] * len(axes))
    solution = _parabola(lattice)
    step = np.broadcast_to([axis[1] - axis[0] for axis in axes], best.shape) / half_width
    middle, before, lowest = best, best, np.full(count, np.inf)
    leapt = done = np.zeros(count, dtype=bool)
    for _ in range(60):
        middle = np.clip(middle, low + half_width * step, high - half_width * step)
        candidates = np.clip(middle[..., None, :] + lattice * step[..., None, :], low, high)
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
            strides = best[..., None, :] + _STRIDES[:, None] * (best - before)[..., None, :]
            tried = np.clip(np.concatenate([vertex[..., None, :], strides], axis=-2), low, high)
            before = np.where(slow[..., None], best, before)
            best, lowest = _lower((best, lowest), _lowest(tried, objective(tried)), slow)
        middle = np.where(leaps[..., None], vertex, best)
        shrink = np.where(leaps, _LEAP, np.where(rim, 1.0, half_width))
        step = step / np.where(failed, half_width / _LEAP, shrink)[..., None]
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
    return np.where(taken[..., None], other[0], best[0]), np.where(taken, other[1], best[1])


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
        finite = np.where(known, values, np.max(values, where=known, initial=0.0))
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


def fit_many(
    form: Form, x: FloatArray, y: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Fit a form to replicates of one design.

    Args:
        form: the family.
        x: (n, d).
        y: (R, n).
        weights: (R, n).

    Returns:
        Shapes (R, q), linear parameters (R, p) and residual sums of squares (R,).
    """
    feasible = form.feasible()

    def solve(theta: FloatArray) -> tuple[FloatArray, FloatArray]:
        # theta is the common grid (G, q) at first, then one lattice per replicate (R, G, q).
        spread = theta[None] if theta.ndim == 2 else theta
        rest = y[:, None, :] - form.offset(spread, x)
        return constrained_lstsq(form.basis(spread, x), rest, weights[:, None, :], feasible)

    theta = minimise(lambda shapes: solve(shapes)[1], form.grid(x), len(y))
    beta, rss = solve(theta[:, None, :])
    return theta, beta[:, 0], rss[:, 0]


def fit(form: Form, data: Data) -> CurveFit:
    """Fit a form by weighted least squares.

    Args:
        form: the family.
        data: at least one observation; fewer than the form's parameters interpolate.

    Returns:
        The global optimum over the form's range of shapes.
    """
    found = fit_many(form, data.x, data.y[None], data.weights[None])
    theta, beta, rss = (part[0] for part in found)
    feasible = form.feasible()
    ends = zip(form.shape, theta, form.grid(data.x), strict=True)
    at_end = [name for name, value, axis in ends if value <= axis[0] or value >= axis[-1]]
    active = feasible.rows[feasible.active(beta)]
    at_limit = ["-".join(np.array(form.linear)[row != 0]) for row in active]
    return CurveFit(
        form=form,
        data=data,
        theta=theta,
        beta=beta,
        rss=float(rss),
        at_bound=(*at_end, *at_limit),
    )


Functional = Callable[[FloatArray, FloatArray], FloatArray]
"""Coefficients (..., p) on beta of a derived number, from shapes (..., q), points (..., 1, d)."""


def profile_many(
    form: Form,
    data: tuple[FloatArray, FloatArray, FloatArray],
    functional: Functional,
    at: FloatArray,
    values: FloatArray,
    precision: float = PROFILE,
) -> FloatArray:
    """Smallest RSS (m,) with ``functional(theta, at[i]) @ beta = values[i]``.

    Args:
        form: a family without offset.
        data: x (n, d), y and weights, the latter (m, n) or (1, n) where all values share them.
        functional: the derived number.
        at: points (m, d).
        values: (m,).
        precision: resolution of the shapes.
    """
    x, y, weights = data
    feasible = form.feasible()

    def objective(theta: FloatArray) -> FloatArray:
        common = theta.ndim == 2
        spread = theta[None] if common else theta
        rows = functional(spread, at[:, None, None, :])
        target = np.broadcast_to(values[:, None], rows.shape[:-1])
        basis = form.basis(spread, x)
        if common and basis.shape[-1] == 2:
            return rss_on_line(basis[0], y, weights, feasible, rows, target)
        return lstsq_on_line(basis, y[:, None, :], weights[:, None, :], feasible, rows, target)[1]

    theta = minimise(objective, form.grid(x), len(values), precision=precision)
    return np.asarray(objective(theta[:, None, :])[:, 0])


def value_of(form: Form) -> Functional:
    """The curve's value as a functional."""

    def value(theta: FloatArray, point: FloatArray) -> FloatArray:
        return np.asarray(form.basis(theta, point)[..., 0, :])

    return value


def profile_of_functional(
    curve: CurveFit,
    functional: Functional,
    at: FloatArray,
    values: FloatArray,
    precision: float = PROFILE,
) -> FloatArray:
    """`profile_many` of one set of data; at (m, d), values (m,)."""
    data = (curve.data.x, curve.data.y[None], curve.data.weights[None])
    return profile_many(curve.form, data, functional, at, values, precision)


def profile_of_value(
    curve: CurveFit, at: FloatArray, values: FloatArray, precision: float = PROFILE
) -> FloatArray:
    """Smallest RSS (m,) of curves through ``(at[i], values[i])``; forms without an offset."""
    return profile_of_functional(curve, value_of(curve.form), at, values, precision)


def profile_of_linear(curve: CurveFit, index: int, values: FloatArray) -> FloatArray:
    """Smallest RSS (m,) with the linear parameter ``index`` at each of the values (m,)."""
    form, data, feasible = curve.form, curve.data, curve.form.feasible()
    functional = np.eye(len(curve.beta))[index]

    def objective(theta: FloatArray) -> FloatArray:
        spread = theta[None] if theta.ndim == 2 else theta
        rest = data.y - form.offset(spread, data.x)
        basis = form.basis(spread, data.x)
        target = np.broadcast_to(values[:, None], (len(values), spread.shape[-2]))
        return lstsq_on_line(basis, rest, data.weights, feasible, functional, target)[1]

    theta = minimise(objective, form.grid(data.x), len(values), precision=PROFILE)
    return np.asarray(objective(theta[:, None, :])[:, 0])


def profile_of_shape(curve: CurveFit, index: int, values: FloatArray) -> FloatArray:
    """Smallest RSS (m,) with one shape parameter (search coordinates) at each value (m,)."""
    form, data, feasible = curve.form, curve.data, curve.form.feasible()
    axes = form.grid(data.x)
    others = [axis for i, axis in enumerate(axes) if i != index]

    def objective(rest_theta: FloatArray) -> FloatArray:
        spread = rest_theta[None] if rest_theta.ndim == 2 else rest_theta
        fixed = np.broadcast_to(values[:, None], (len(values), spread.shape[-2]))
        spread = np.broadcast_to(spread, (len(values), *spread.shape[1:]))
        theta = np.insert(spread, index, fixed, axis=-1)
        rest = data.y - form.offset(theta, data.x)
        return constrained_lstsq(form.basis(theta, data.x), rest, data.weights, feasible)[1]

    theta = minimise(objective, others, len(values), precision=PROFILE)
    return np.asarray(objective(theta[:, None, :])[:, 0])


def profile_interval(
    profile: Callable[[FloatArray], FloatArray],
    centre: float,
    limit: float,
    *,
    low: float,
    high: float,
    level: float = 0.95,
) -> Interval:
    """Where a profile stays below a limit, around its minimum.

    The ends are the outermost crossings on a scan of 65 points each side, refined by Brent's
    method. An end that is not reached inside [low, high] is unbounded.

    Args:
        profile: residual sum of squares as a function of the quantity, vectorised.
        centre: the estimate.
        limit: value of the profile at the ends of the interval.
        low: smallest value of the quantity that is searched.
        high: largest.
        level: confidence level, recorded in the result.
    """

    def end(extreme: float) -> float | None:
        scan = centre + (extreme - centre) * np.linspace(0.0, 1.0, 65) ** 2
        outside = profile(scan) > limit
        outside[0] = False
        if not outside[-1]:
            return None
        last_inside = int(np.flatnonzero(~outside)[-1])

        def above(value: float) -> float:
            return min(float(profile(np.array([value]))[0]) - limit, 1e300)

        inner, outer = scan[last_inside], scan[last_inside + 1]
        # A profile that lies on its limit but for rounding may cross nowhere when asked again.
        if above(inner) >= 0.0 or above(outer) <= 0.0:
            return float(outer)
        return float(optimize.brentq(above, inner, outer, xtol=1e-12, rtol=1e-10))

    return Interval(low=end(low), high=end(high), level=level)
