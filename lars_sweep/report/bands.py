"""95 % bands of an averaged curve: the limits of `average.prediction`, at many points at once."""

from __future__ import annotations

import dataclasses

import numpy as np

from lars_sweep.fit.average import AveragedFit, confidence_above
from lars_sweep.fit.distributions import normal_quantile
from lars_sweep.fit.engine import Noise
from lars_sweep.fit.linear import FloatArray

_Z = float(normal_quantile(0.975))
_ROUNDS = 5
_WIDENINGS = 4
_CLOSE = 0.01
"""Error of a normal quantile that a picture does not show: 0.5 % of the band's width."""
_SHAPES = 1e-4
"""Resolution of shapes: the RSS is wrong by its square, times the curvature."""
_FELT = 1e-4
"""Weight of a form; confidence is averaged, so this much at most is missing of 0.025."""


def mean_band(averaged: AveragedFit, at: FloatArray) -> tuple[FloatArray, FloatArray] | None:
    """Limits (m,) of the mean of the curve at points (m, d); None without sigma.

    An infinite limit was not found: the curve is not bounded there.
    """
    noise = averaged.noise
    if noise is None:
        return None
    averaged = _heavy(averaged)
    mean = averaged.predict(at)
    low, high = averaged.envelope(at)
    total = float(np.sum(averaged.best.data.weights))
    share = np.sqrt(noise.variance * averaged.best.k / total + averaged.shared_se**2)
    reach = 2.0 * float(share) + (high - low)
    middle = _quantile(averaged, noise, at, mean)
    both = np.concatenate([at, at])  # a call for all points costs little more than one for a few
    start = np.concatenate([mean, mean]), np.concatenate([middle, middle])
    sides = np.concatenate([-reach, reach])
    goal = np.repeat([_Z, -_Z], len(at))
    limits = _limit(averaged, noise, both, start, sides, goal)
    return limits[: len(at)], limits[len(at) :]


def _heavy(averaged: AveragedFit) -> AveragedFit:
    """Without the forms whose weight no limit feels: each costs as much as the others."""
    kept = averaged.weights > _FELT
    weights = averaged.weights[kept] / averaged.weights[kept].sum()
    fits = tuple(f for f, keep in zip(averaged.fits, kept.tolist(), strict=True) if keep)
    return dataclasses.replace(averaged, fits=fits, weights=weights)


def _quantile(averaged: AveragedFit, noise: Noise, at: FloatArray, value: FloatArray) -> FloatArray:
    """Normal quantile (m,) of the confidence that the curve lies above ``value``: nearly a line."""
    confidence = confidence_above(averaged, noise, at, value, precision=_SHAPES)
    return np.asarray(normal_quantile(np.clip(confidence, 1e-12, 1.0 - 1e-12)))


def _limit(
    averaged: AveragedFit,
    noise: Noise,
    at: FloatArray,
    middle: tuple[FloatArray, FloatArray],
    reach: FloatArray,
    goal: FloatArray,
) -> FloatArray:
    """Values (m,) whose quantile is ``goal`` (m,): bracketed from the middle, then regula falsi."""
    near, near_z = middle
    far = near + reach
    far_z = _quantile(averaged, noise, at, far)
    for _ in range(_WIDENINGS):
        short = (far_z - goal) * (near_z - goal) > 0
        if not short.any():
            break
        near, near_z = np.where(short, far, near), np.where(short, far_z, near_z)
        reach = 2.0 * reach
        far = np.where(short, far + reach, far)
        far_z[short] = _quantile(averaged, noise, at[short], far[short])
    found = (far_z - goal) * (near_z - goal) <= 0
    guess, z, todo = far.copy(), far_z.copy(), np.ones(len(at), dtype=bool)
    for _ in range(_ROUNDS):
        apart = near_z - far_z
        share = np.where(apart == 0, 0.5, (near_z - goal) / np.where(apart == 0, 1.0, apart))
        # 2 % off the ends: an end that never moves would slow the bracket down
        tried = near + np.clip(share, 0.02, 0.98) * (far - near)
        guess[todo] = tried[todo]
        z[todo] = _quantile(averaged, noise, at[todo], guess[todo])
        inside = (z - goal) * (near_z - goal) > 0
        near, near_z = np.where(inside, guess, near), np.where(inside, z, near_z)
        far, far_z = np.where(inside, far, guess), np.where(inside, far_z, z)
        todo = np.abs(z - goal) > _CLOSE
        if not todo.any():
            break
    return np.where(found, guess, np.copysign(np.inf, reach))
