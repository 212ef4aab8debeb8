"""Variable projection: the global optimum of a curve without start values, and its profiles.

The linear part of a `Form` is solved exactly for every point of a grid of shapes; the best point is
refined (`search.minimise`). A profile of any derived number adds one linear equation. Golub and
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
)
from lars_sweep.fit.search import minimise

# Resolution of shapes inside a profile: its RSS is then wrong by the square of this.
PROFILE = 1e-5


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

    def turned(theta: FloatArray, way: float) -> FloatArray:
        """Shapes (..., G, q) to upright coordinates (m, G, q), or back."""
        if theta.shape[-1] < 2:
            return theta
        skew = way * np.asarray(form.skew(theta, at[:, None, :]))
        first = np.stack([skew, *[np.zeros_like(skew)] * (theta.shape[-1] - 1)], axis=-1)
        return theta + first

    def objective(theta: FloatArray) -> FloatArray:
        common = theta.ndim == 2
        spread = theta[None] if common else turned(theta, -1.0)
        rows = functional(spread, at[:, None, None, :])
        target = np.broadcast_to(values[:, None], rows.shape[:-1])
        basis = form.basis(spread, x)
        if common and basis.shape[-1] == 2:
            return rss_on_line(basis[0], y, weights, feasible, rows, target)
        return lstsq_on_line(basis, y[:, None, :], weights[:, None, :], feasible, rows, target)[1]

    theta = minimise(
        objective, form.grid(x), len(values), precision, turn=lambda shapes: turned(shapes, 1.0)
    )
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
