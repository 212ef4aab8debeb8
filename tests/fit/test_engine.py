"""The engine: exact recovery, exact constraints, profiles equal to MINOS."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from iminuit import Minuit
from scipy import optimize

from lars_sweep.fit import engine, search
from lars_sweep.fit.engine import Data, Noise, fit, profile_interval
from lars_sweep.fit.forms import Exp, FlatTop, Form, Hinge2, Power, SeffExp, Split
from lars_sweep.fit.linear import (
    Inequalities,
    constrained_lstsq,
    free,
    lstsq_on_line,
    rss_on_line,
)
from lars_sweep.fit.log_forms import LogFixedPower, LogPower, LogSaturating, LogSteps

STEPS = np.geomspace(1000.0, 2e5, 9)
STEPS_AND_BATCH = np.concatenate(
    [
        np.stack([STEPS, np.geomspace(32768.0, 512.0, 9)], axis=-1),
        np.stack([2 * STEPS, np.geomspace(32768.0, 512.0, 9)], axis=-1),
    ]
)
LOG2_LR = np.arange(0.0, 4.01, 0.25)[:, None]
BATCHES = np.exp2(np.arange(8.0, 16.0))[:, None]

FORMS: list[tuple[Form, np.ndarray]] = [
    (Exp(chance=0.1), STEPS_AND_BATCH),
    (Hinge2(), STEPS_AND_BATCH),
    (Power(), STEPS_AND_BATCH),
    (SeffExp(reference_batch=4096.0, chance=0.1), STEPS_AND_BATCH),
    (FlatTop(), LOG2_LR),
    (Split(), LOG2_LR),
    (LogPower(), BATCHES),
    (LogFixedPower(alpha=0.0), BATCHES),
    (LogFixedPower(alpha=0.5), BATCHES),
    (LogFixedPower(alpha=1.0), BATCHES),
    (LogSaturating(), BATCHES),
    (LogSaturating(power=0.5), BATCHES),
    (LogSteps(), BATCHES),
    (LogSteps(alpha=1.0), BATCHES),
]


def _truth(form: Form, x: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    if form.name in ("flat_top", "split"):
        # Both flanks need points of their own, else the data do not say what they are.
        theta = np.array([rng.uniform(1.2, 1.6), rng.uniform(0.3, 1.2)])[: len(form.shape)]
        return theta, np.array([rng.uniform(50, 80), *rng.uniform(0.5, 8, size=2)])
    axes = form.grid(x)
    theta = np.array([rng.uniform(a[0] + 0.35 * np.ptp(a), a[-1] - 0.35 * np.ptp(a)) for a in axes])
    if form.linear == ("a", "b"):
        return theta, np.array([rng.uniform(50, 80), rng.uniform(5, 40)])
    return theta, rng.uniform(0.2, 1.5, size=len(form.linear))


@pytest.mark.parametrize(("form", "x"), FORMS, ids=lambda v: getattr(v, "name", ""))
def test_noiseless_curves_are_recovered_without_start_values(form: Form, x: np.ndarray) -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        theta, beta = _truth(form, x, rng)
        y = form.basis(theta, x) @ beta + form.offset(theta, x)
        curve = fit(form, Data(x=x, y=y, weights=np.ones(len(y))))
        np.testing.assert_allclose(form.natural(curve.theta), form.natural(theta), rtol=1e-6)
        np.testing.assert_allclose(curve.beta, beta, rtol=1e-6)
        np.testing.assert_allclose(curve.predict(x), y, rtol=1e-9)


def test_parameters_at_the_end_of_their_range_are_named() -> None:
    y = 60.0 - 0.5 * np.log2(STEPS.max() / STEPS)  # a logarithm: no asymptote in any exponent
    x = STEPS_AND_BATCH[:9]
    assert fit(Power(), Data(x=x, y=y, weights=np.ones(9))).at_bound == ("c",)


@pytest.mark.parametrize("steps", [[1000.0, 2000, 4000, 8000], [1000, 1001, 2000, 4000]], ids=str)
def test_a_fall_that_one_number_of_steps_shows_is_continued_gently(steps: list[float]) -> None:
    """Two points lost one octave below the foot are eight lost two octaves below it."""
    x = np.stack([np.array(steps), np.full(4, 512.0)], axis=-1)
    y = np.where(x[:, 0] < 1500, 88.0, 90.0)
    curve = fit(Hinge2(), Data(x=x, y=y, weights=np.ones(4)))
    assert curve.rss < 1e-4
    below = curve.predict(np.array([[500.0, 512.0]]))[0]
    assert below == pytest.approx(82.0, abs=0.2)


@given(
    design=arrays(np.float64, (6, 2), elements=st.floats(-3, 3)),
    y=arrays(np.float64, 6, elements=st.floats(-5, 5)),
)
def test_constrained_least_squares_agrees_with_a_general_solver(
    design: np.ndarray, y: np.ndarray
) -> None:
    feasible = Inequalities(
        np.array([[0.0, -1.0], [-1.0, 1.0], [1.0, 0.0]]), np.array([0, -0.5, 2])
    )
    beta, rss = constrained_lstsq(design, y, np.ones(6), feasible)
    assert feasible.holds(beta)
    oracle = optimize.minimize(
        lambda b: float(np.sum((y - design @ b) ** 2)),
        np.array([1.5, 0.5]),
        jac=lambda b: -2.0 * design.T @ (y - design @ b),
        constraints=[
            {
                "type": "ineq",
                "fun": lambda b: feasible.limits - feasible.rows @ b,
                "jac": lambda b: -feasible.rows,
            }
        ],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert rss <= oracle.fun + 1e-6
    np.testing.assert_allclose(rss, np.sum((y - design @ beta) ** 2), rtol=1e-9, atol=1e-12)


def test_sums_of_squares_from_moments_are_those_of_the_residuals() -> None:
    rng = np.random.default_rng(5)
    form = SeffExp(reference_batch=4096.0, chance=0.1)
    x, shapes = STEPS_AND_BATCH, search._product(form.grid(STEPS_AND_BATCH))
    basis, values = form.basis(shapes, x), rng.uniform(60.0, 99.0, 7)
    y = 90.0 - 30.0 * np.exp(-x[:, 0] / 9000.0) + rng.normal(0.0, 0.2, (7, len(x)))
    weights = rng.uniform(1.0, 20.0, (7, len(x)))
    rows = form.basis(shapes, np.array([[5000.0, 1024.0]]))[None, :, 0, :]
    given = np.broadcast_to(values[:, None], (7, len(shapes)))
    exact = lstsq_on_line(
        basis,
        y[:, None],
        weights[:, None],
        form.feasible(),
        np.broadcast_to(rows, (7, *rows.shape[1:])),
        given,
    )[1]
    quick = rss_on_line(basis, y, weights, form.feasible(), rows, given)
    np.testing.assert_array_equal(np.isfinite(quick), np.isfinite(exact))
    assert np.isfinite(exact).mean() > 0.2
    known = np.isfinite(exact)
    np.testing.assert_allclose(quick[known], exact[known], rtol=1e-7)


def test_least_squares_on_a_line_meets_it_and_the_constraints() -> None:
    rng = np.random.default_rng(0)
    design, y = rng.normal(size=(200, 6, 2)), rng.normal(size=(200, 6))
    functional, value = rng.normal(size=(200, 2)), rng.normal(size=200)
    feasible = Inequalities(np.array([[0.0, -1.0]]), np.zeros(1))
    beta, rss = lstsq_on_line(design, y, np.ones(6), feasible, functional, value)
    possible = np.isfinite(rss)
    np.testing.assert_allclose(np.sum(beta * functional, axis=1)[possible], value[possible])
    unconstrained = constrained_lstsq(design, y, np.ones(6), free(2))[1]
    assert np.all(rss >= unconstrained - 1e-9)
    assert np.all(beta[possible, 1] >= -1e-9)


def _noisy(form: Form, theta: np.ndarray, beta: np.ndarray, x: np.ndarray, sd: float) -> Data:
    rng = np.random.default_rng(11)
    y = form.basis(theta, x) @ beta + form.offset(theta, x) + rng.normal(0.0, sd, len(x))
    return Data(x=x, y=y, weights=np.full(len(x), 1.0 / sd**2))


def _minos(data: Data, form: Form, start: np.ndarray, index: int) -> tuple[float, float]:
    q = len(form.shape)

    def cost(parameters: np.ndarray) -> float:
        theta, beta = parameters[:q], parameters[q:]
        curve = form.basis(theta, data.x) @ beta + form.offset(theta, data.x)
        return float(np.sum(data.weights * (data.y - curve) ** 2))

    minuit = Minuit(cost, start)
    minuit.errordef = Minuit.LEAST_SQUARES
    minuit.tol = 1e-6
    minuit.strategy = 2
    minuit.migrad()
    minuit.minos(index, cl=0.95)
    error = minuit.merrors[f"x{index}"]
    return minuit.values[index] + error.lower, minuit.values[index] + error.upper


CASES = [
    (Exp(), [9.5], [60.0, 30.0], STEPS_AND_BATCH[:9]),
    (Hinge2(), [16.0], [60.0, 0.8], STEPS_AND_BATCH[:9]),
    (Power(), [-0.3], [60.0, 20.0], STEPS_AND_BATCH[:9]),
    (LogPower(), [], [0.4, 0.6], BATCHES),
    (LogSaturating(), [8.3], [0.4], BATCHES),
]


@pytest.mark.parametrize(
    ("form", "theta", "beta", "x"), CASES, ids=lambda v: getattr(v, "name", "")
)
def test_profile_intervals_agree_with_minos(
    form: Form, theta: list[float], beta: list[float], x: np.ndarray
) -> None:
    sd = 0.1 if "log_c" in form.linear else 0.25
    data = _noisy(form, np.array(theta), np.array(beta), x, sd)
    curve = fit(form, data)
    limit = curve.rss + Noise(variance=1.0, nu=np.inf, source="user").threshold(0.95)
    start = np.concatenate([curve.theta, curve.beta])
    q = len(theta)
    for index in range(len(start)):
        low, high = _minos(data, form, start, index)
        width = high - low

        def profile(values: np.ndarray, index: int = index) -> np.ndarray:
            if index < q:
                return engine.profile_of_shape(curve, index, values)
            return engine.profile_of_linear(curve, index - q, values)

        found = profile_interval(
            profile,
            start[index],
            limit,
            low=start[index] - 3 * width,
            high=start[index] + 3 * width,
        )
        assert found.low == pytest.approx(low, abs=0.01 * width)
        assert found.high == pytest.approx(high, abs=0.01 * width)


def test_a_profile_that_is_its_limit_but_for_rounding_has_an_end() -> None:
    """Asked for one value alone it rounds otherwise: the first end then lies inside too."""

    def profile(values: np.ndarray) -> np.ndarray:
        return np.where(values > 0.25, 1.0 + (1e-12 if len(values) > 1 else -1e-12), 0.5)

    found = profile_interval(profile, 0.0, 1.0, low=-1.0, high=1.0)
    assert found.low is None
    assert found.high == pytest.approx(0.25, abs=0.02)


def test_a_profile_that_never_rises_is_unbounded() -> None:
    found = profile_interval(lambda v: np.where(v < 0, v**2, 0.0), 0.0, 1.0, low=-10.0, high=10.0)
    assert found.low == pytest.approx(-1.0)
    assert found.high is None


@given(
    arrays(np.float64, 3, elements=st.floats(-1.0, 1.0)),
    arrays(np.float64, 2, elements=st.floats(-1.5, 2.5)),
)
def test_a_minimum_inside_the_ranges_or_at_their_ends_is_found(
    root: np.ndarray, middle: np.ndarray
) -> None:
    """A convex parabola over the unit square, against a solver that knows its slope."""
    factor = np.array([[1.0, root[0]], [0.0, 1.0 + abs(root[1])]])
    hessian = factor.T @ factor

    def value(shape: np.ndarray) -> np.ndarray:
        off = shape - middle
        return 1.0 + np.einsum("...i,ij,...j->...", off, hessian, off)

    axes = [np.linspace(0.0, 1.0, 11)] * 2
    (found,) = search.minimise(lambda shapes: np.atleast_2d(value(shapes)), axes, 1)
    expected = optimize.minimize(
        lambda s: float(value(s)), [0.5, 0.5], jac=lambda s: 2.0 * hessian @ (s - middle),
        bounds=[(0.0, 1.0)] * 2, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10},
    )  # fmt: skip
    assert value(found) <= expected.fun + 1e-9
    assert found == pytest.approx(expected.x, abs=1e-5)


# Plateaus of five batches whose steps are long past the climb: the joint law is free along a bent
# valley that ends where b <= a - chance begins to hold.
PLATEAUS = Data(
    x=np.array([[2930.0, 256], [5860, 256], [1465, 512], [2930, 512], [733, 1024], [1465, 1024],
                [367, 2048], [733, 2048], [184, 4096], [367, 4096]]),
    y=np.array([93.046, 92.969, 92.98, 93.005, 93.021, 92.976, 92.976, 92.976, 91.944, 92.964]),
    weights=np.array([93.3, 82.4, 107.7, 92.5, 90.3, 103.7, 147.8, 92.0, 73.2, 90.6]),
)  # fmt: skip


def test_profiles_reach_the_bottom_of_a_valley_with_a_kink() -> None:
    """Against a fine grid; the noise of these data is 0.05, and 0.2 makes an end of an interval."""
    form, point = SeffExp(reference_batch=1024.0), np.array([[92.0, 8192.0]])
    values = np.linspace(82.5, 92.0, 13)
    curve = fit(form, PLATEAUS)
    found = engine.profile_of_value(curve, np.repeat(point, len(values), axis=0), values)
    axes = [np.linspace(3.4, 4.4, 2001), np.linspace(0.0, 0.5, 41)]
    shapes = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    basis, row = form.basis(shapes, PLATEAUS.x), form.basis(shapes, point)[:, 0]
    y, weights = (np.tile(part, (len(shapes), 1)) for part in (PLATEAUS.y, PLATEAUS.weights))
    for value, rss in zip(values, found, strict=True):
        goal = np.full(len(shapes), value)
        scanned = lstsq_on_line(basis, y, weights, form.feasible(), row, goal)[1].min()
        assert rss <= scanned + 0.01, value
