"""Families of laws over the batch, fitted in logarithms: best LR, and steps to a target.

As those of `forms`; what is predicted is a logarithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lars_sweep.fit.forms import NoOffset, Upright
from lars_sweep.fit.linear import FloatArray, Inequalities, free


@dataclass(frozen=True, slots=True)
class LogPower(NoOffset):
    """``log LR = log c + alpha log(B/1024)``, that is ``LR = c (B/1024)**alpha``; x = B."""

    name: ClassVar[str] = "power"
    shape: ClassVar[tuple[str, ...]] = ()
    linear: ClassVar[tuple[str, ...]] = ("log_c", "alpha")

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """No shape."""
        return []

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `Form`."""
        columns = np.stack([np.ones(len(x)), np.log(x[:, 0] / 1024.0)], axis=-1)
        return np.broadcast_to(columns, (*theta.shape[:-1], *columns.shape))

    def feasible(self) -> Inequalities:
        """See `Form`."""
        return free(2)

    def natural(self, theta: FloatArray) -> FloatArray:
        """See `Form`."""
        return theta


@dataclass(frozen=True, slots=True)
class LogFixedPower(Upright):
    """``log LR = log c + alpha log(B/1024)`` with alpha given: 0 constant, 1/2 root, 1 linear."""

    alpha: float
    shape: ClassVar[tuple[str, ...]] = ()
    linear: ClassVar[tuple[str, ...]] = ("log_c",)

    @property
    def name(self) -> str:
        """See `Form`."""
        return {0.0: "constant", 0.5: "square_root", 1.0: "linear"}[self.alpha]

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """No shape."""
        return []

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `Form`."""
        return np.ones((*theta.shape[:-1], len(x), 1))

    def offset(self, theta: FloatArray, x: FloatArray) -> FloatArray | float:
        """See `Form`."""
        line: FloatArray = self.alpha * np.log(x[:, 0] / 1024.0)
        return line

    def feasible(self) -> Inequalities:
        """See `Form`."""
        return free(1)

    def natural(self, theta: FloatArray) -> FloatArray:
        """See `Form`."""
        return theta


@dataclass(frozen=True, slots=True)
class LogSaturating(Upright):
    """``LR = c / (1 + B0/B)**power``; x = B.

    power = 1 is the saturating law of McCandlish et al. 2018; power = 1/2 the null of LARS, whose
    update has a fixed norm (PROTOCOL.md 10).
    """

    power: float = 1.0
    shape: ClassVar[tuple[str, ...]] = ("B0",)
    linear: ClassVar[tuple[str, ...]] = ("log_c",)

    @property
    def name(self) -> str:
        """See `Form`."""
        return "saturating" if self.power == 1.0 else "lars_null"

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """B0 from eight octaves below the batches (constant) to eight above (a power)."""
        log_b = np.log(x[:, 0])
        return [np.arange(log_b.min() - 5.6, log_b.max() + 5.6, 0.15)]

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `Form`."""
        return np.ones((*theta.shape[:-1], len(x), 1))

    def offset(self, theta: FloatArray, x: FloatArray) -> FloatArray | float:
        """See `Form`."""
        slow: FloatArray = -self.power * np.logaddexp(0.0, theta[..., :1] - np.log(x[:, 0]))
        return slow

    def feasible(self) -> Inequalities:
        """See `Form`."""
        return free(1)

    def natural(self, theta: FloatArray) -> FloatArray:
        """See `Form`."""
        return np.exp(theta)


@dataclass(frozen=True, slots=True)
class LogSteps(Upright):
    """``S = Smin (1 + (B_half/B)**alpha)``, fitted as log S; x = B (McCandlish et al. 2018).

    At ``B = B_half`` the steps are twice the law ``Smin (B_half/B)**alpha`` of small batches, for
    every alpha; alpha = 1 is perfect scaling there.
    """

    alpha: float | None = None
    """A fixed exponent; None: free in [1/2, 2]."""
    name: ClassVar[str] = "steps_to_target"
    linear: ClassVar[tuple[str, ...]] = ("log_Smin",)

    @property
    def shape(self) -> tuple[str, ...]:
        """See `Form`."""
        return ("B_half",) if self.alpha is not None else ("B_half", "alpha")

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """B_half from four octaves below the batches to eight above; alpha in its logarithm."""
        log_b = np.log(x[:, 0])
        halves = np.arange(log_b.min() - 2.8, log_b.max() + 5.6, 0.2)
        exponents = np.linspace(np.log(0.5), np.log(2.0), 29)
        return [halves] if self.alpha is not None else [halves, exponents]

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `Form`."""
        return np.ones((*theta.shape[:-1], len(x), 1))

    def offset(self, theta: FloatArray, x: FloatArray) -> FloatArray | float:
        """See `Form`."""
        alpha = self.alpha if self.alpha is not None else np.exp(theta[..., 1:2])
        slow: FloatArray = np.logaddexp(0.0, alpha * (theta[..., :1] - np.log(x[:, 0])))
        return slow

    def feasible(self) -> Inequalities:
        """See `Form`."""
        return free(1)

    def natural(self, theta: FloatArray) -> FloatArray:
        """See `Form`."""
        return np.exp(theta)
