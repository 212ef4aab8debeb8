"""The families of curves; the class docstring of each is its formula.

Every form is ``y = offset(theta, x) + basis(theta, x) @ beta``: linear in beta once the shape theta
is fixed (variable projection). Accuracies are percent, steps are optimizer steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Protocol

import numpy as np

from lars_sweep.fit.linear import FloatArray, Inequalities

BEST_ACCURACY = 100.0


class Form(Protocol):
    """A family of curves that the engine can fit."""

    @property
    def name(self) -> str:
        """Short name, as in tables."""

    @property
    def shape(self) -> tuple[str, ...]:
        """Names of theta."""

    @property
    def linear(self) -> tuple[str, ...]:
        """Names of beta."""

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """One axis of candidate values per shape parameter, for data x (n, d)."""

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """Basis (..., n, p) for theta (..., q) at x (n, d) or, for steps curves, (..., n, d)."""

    def offset(self, theta: FloatArray, x: FloatArray) -> FloatArray | float:
        """The part (..., n) without linear parameters."""

    def feasible(self) -> Inequalities:
        """Constraints on beta."""

    def natural(self, theta: FloatArray) -> FloatArray:
        """Theta in the units of the formula (..., q)."""

    def skew(self, theta: FloatArray, point: FloatArray) -> FloatArray | float:
        """What (...,) is to be added to the first of theta (..., q), given the others.

        The sum alone decides on the basis at a point (..., d). Limits of beta that hold for the
        curves through a value there then begin to do so along the other axes of a search, which
        would otherwise get stuck on a slanting edge.
        """


class Upright:
    """A form of at most one shape parameter, or none that is searched along an edge."""

    def skew(self, theta: FloatArray, point: FloatArray) -> FloatArray | float:
        """See `Form`."""
        return 0.0


class NoOffset(Upright):
    """A form that is linear but for its shape."""

    def offset(self, theta: FloatArray, x: FloatArray) -> FloatArray | float:
        """See `Form`."""
        return 0.0


def _falling(g: FloatArray) -> FloatArray:
    """Basis of ``a - b g``."""
    basis = np.empty((*g.shape, 2))
    basis[..., 0] = 1.0
    np.negative(g, out=basis[..., 1])
    return basis


@cache  # with its faces, which take longer than a fit on them
def _saturating_limits(chance: float, *, from_chance: bool) -> Inequalities:
    """``0 <= b``, ``a <= 100`` and, where b is the whole climb, ``b <= a - chance``."""
    rows = [[0.0, -1.0], [1.0, 0.0]]
    limits = [0.0, BEST_ACCURACY]
    if from_chance:
        rows.append([-1.0, 1.0])
        limits.append(-chance)
    return Inequalities(np.array(rows), np.array(limits))


@dataclass(frozen=True, slots=True)
class Exp(NoOffset):
    """``acc = a - b exp(-S/S0)``, ``0 <= b <= a - chance``, ``a <= 100``; x = (S, B)."""

    chance: float = 0.0
    name: ClassVar[str] = "exp"
    shape: ClassVar[tuple[str, ...]] = ("S0",)
    linear: ClassVar[tuple[str, ...]] = ("a", "b")

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """From curves that are flat over the data to curves that are straight over them."""
        log_s = np.log(x[:, 0])
        return [np.arange(log_s.min() - 4.0, log_s.max() + 3.0, 0.1)]

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `Form`."""
        return _falling(np.exp(-x[..., 0] * np.exp(-theta[..., :1])))

    def feasible(self) -> Inequalities:
        """See `Form`."""
        return _saturating_limits(self.chance, from_chance=True)

    def natural(self, theta: FloatArray) -> FloatArray:
        """See `Form`."""
        return np.exp(theta)


@dataclass(frozen=True, slots=True)
class Hinge2(NoOffset):
    """``acc = a - b max(0, log2(Sh/S))**2``, ``0 <= b``, ``a <= 100``; x = (S, B).

    The foot Sh is the second smallest S or more. Below it a single cell lies on the fall, through
    which every curve with ``b (log2 Sh/S)**2`` equal passes: b and Sh are then one number, and a
    foot just above the smallest S has b go to infinity, which the data cannot tell from the
    gentlest of these curves but every prediction below them can.
    """

    name: ClassVar[str] = "hinge2"
    shape: ClassVar[tuple[str, ...]] = ("Sh",)
    linear: ClassVar[tuple[str, ...]] = ("a", "b")

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """The foot of the hinge from the second smallest S to three octaves past the largest.

        S closer than a step of the grid count as one, as those of ``ceil(E N/B)`` may be.
        """
        log_s, step = np.log2(x[:, 0]), 0.1
        second = np.min(log_s, where=log_s >= log_s.min() + step, initial=log_s.max())
        return [np.arange(second, log_s.max() + 3.0, step)]

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `Form`."""
        return _falling(np.maximum(0.0, theta[..., :1] - np.log2(x[..., 0])) ** 2)

    def feasible(self) -> Inequalities:
        """See `Form`."""
        return _saturating_limits(0.0, from_chance=False)

    def natural(self, theta: FloatArray) -> FloatArray:
        """See `Form`."""
        return np.exp2(theta)


@dataclass(frozen=True, slots=True)
class Power(NoOffset):
    """``acc = a - b (S/1000)**-c``, ``0 <= b``, ``a <= 100``, ``0.05 <= c <= 2``; x = (S, B)."""

    name: ClassVar[str] = "power"
    shape: ClassVar[tuple[str, ...]] = ("c",)
    linear: ClassVar[tuple[str, ...]] = ("a", "b")

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """Exponents from almost a logarithm to almost a step, evenly in their logarithm."""
        return [np.linspace(np.log(0.05), np.log(2.0), 60)]

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `Form`."""
        return _falling(np.exp(-np.exp(theta[..., :1]) * np.log(x[..., 0] / 1000.0)))

    def feasible(self) -> Inequalities:
        """See `Form`."""
        return _saturating_limits(0.0, from_chance=False)

    def natural(self, theta: FloatArray) -> FloatArray:
        """See `Form`."""
        return np.exp(theta)


@dataclass(frozen=True, slots=True)
class SeffExp(NoOffset):
    """``acc = a - b exp(-S_eff/S0)``, ``S_eff = S/(1 + Bc/B)``; limits as `Exp`; x = (S, B).

    Bc = 0 is the steps law; Bc -> inf, with S0 falling as 1/Bc, the examples law. Both limits are
    ordinary points of the search: it runs over ``u = Bc/(Bc + Bref)`` in [0, 1] and over the
    scale of S_eff normalised to equal S at the batch Bref.
    """

    reference_batch: float
    chance: float = 0.0
    name: ClassVar[str] = "seff_exp"
    shape: ClassVar[tuple[str, ...]] = ("S0", "Bc")
    linear: ClassVar[tuple[str, ...]] = ("a", "b")

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """As `Exp`, over the span of S at any Bc, times shares of the examples law."""
        log_s = np.log(x[:, 0])
        log_examples = np.log(x[:, 0] * x[:, 1] / self.reference_batch)
        low = min(log_s.min(), log_examples.min())
        high = max(log_s.max(), log_examples.max())
        return [np.arange(low - 4.0, high + 3.0, 0.3), np.linspace(0.0, 1.0, 17)]

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `Form`."""
        slow = self._slow(theta[..., 1:2], x[..., 1])
        return _falling(np.exp(-x[..., 0] / slow * np.exp(-theta[..., :1])))

    def skew(self, theta: FloatArray, point: FloatArray) -> FloatArray | float:
        """See `Form`."""
        return np.log(self._slow(theta[..., 1], point[..., 1]))

    def _slow(self, share: FloatArray, batch: FloatArray) -> FloatArray:
        """S / S_eff, normalised at the reference batch."""
        slow: FloatArray = (1.0 - share) + share * self.reference_batch / batch
        return slow

    def feasible(self) -> Inequalities:
        """See `Form`."""
        return _saturating_limits(self.chance, from_chance=True)

    def natural(self, theta: FloatArray) -> FloatArray:
        """(S0, Bc); S0 is 0 and Bc infinite in the examples law."""
        share = theta[..., 1]
        with np.errstate(divide="ignore"):
            critical = self.reference_batch * share / (1.0 - share)
        return np.stack([np.exp(theta[..., 0]) * (1.0 - share), critical], axis=-1)


@dataclass(frozen=True, slots=True)
class FlatTop(NoOffset):
    """``acc = A - kL max(0, xL - x)**2 - kR max(0, x - xL - w)**2``, k >= 0; x = log2 LR."""

    name: ClassVar[str] = "flat_top"
    shape: ClassVar[tuple[str, ...]] = ("xL", "w")
    linear: ClassVar[tuple[str, ...]] = ("A", "kL", "kR")

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """Plateaus that begin and end anywhere inside the data, to 1/16 octave."""
        span = float(np.ptp(x[:, 0]))
        return [
            np.arange(x[:, 0].min(), x[:, 0].max() + 1e-9, 1 / 16),
            np.arange(0.0, span + 1e-9, 1 / 16),
        ]

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `Form`."""
        left = np.maximum(0.0, theta[..., :1] - x[:, 0]) ** 2
        right = np.maximum(0.0, x[:, 0] - theta[..., :1] - theta[..., 1:2]) ** 2
        return np.stack([np.ones_like(left), -left, -right], axis=-1)

    def feasible(self) -> Inequalities:
        """See `Form`."""
        return Inequalities(np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0]]), np.zeros(2))

    def natural(self, theta: FloatArray) -> FloatArray:
        """See `Form`."""
        return theta


@dataclass(frozen=True, slots=True)
class Split(NoOffset):
    """``acc = A - kL max(0, x0 - x)**2 - kR max(0, x - x0)**2``, k >= 0; x = log2 LR."""

    name: ClassVar[str] = "split"
    shape: ClassVar[tuple[str, ...]] = ("x0",)
    linear: ClassVar[tuple[str, ...]] = ("A", "kL", "kR")

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """A peak anywhere inside the data, to 1/16 octave."""
        return [np.arange(x[:, 0].min(), x[:, 0].max() + 1e-9, 1 / 16)]

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `Form`."""
        return FlatTop().basis(np.concatenate([theta, np.zeros_like(theta)], axis=-1), x)

    def feasible(self) -> Inequalities:
        """See `Form`."""
        return FlatTop().feasible()

    def natural(self, theta: FloatArray) -> FloatArray:
        """See `Form`."""
        return theta
