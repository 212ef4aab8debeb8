"""Is accuracy a curve in steps at all? The check to make before one is drawn (collapse).

``acc = a - b B**p E**-q``: only where p = q is it a curve in ``S = E N/B``. A rejection says that
batch and epochs act separately beyond their ratio; `steps.StepsFit.matched` compares cells of equal
steps without any form.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from lars_sweep.fit.answers import Answer, not_identified, p_text
from lars_sweep.fit.distributions import f_tail
from lars_sweep.fit.engine import Noise, fit, profile_of_shape
from lars_sweep.fit.forms import BEST_ACCURACY, NoOffset
from lars_sweep.fit.linear import FloatArray, Inequalities
from lars_sweep.fit.rows import Rows
from lars_sweep.fit.tuned import Tuned, tuned
from lars_sweep.nouns import count

MINIMUM_CELLS = 5
"""Four parameters and one observation to spare."""
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class BatchEpochs(NoOffset):
    """``acc = a - b (S/1000)**-q (B/1024)**(p - q)``, ``0 <= b``, ``a <= 100``; x = (S, B).

    With ``S = E N/B`` this is ``a - b' B**p E**-q``; the shapes are log q in [0.05, 5] and p - q in
    [-3, 3].
    """

    name: ClassVar[str] = "batch_epochs"
    shape: ClassVar[tuple[str, ...]] = ("q", "p-q")
    linear: ClassVar[tuple[str, ...]] = ("a", "b")

    def grid(self, x: FloatArray) -> list[FloatArray]:
        """Exponents evenly in their logarithm, differences evenly."""
        return [np.linspace(np.log(0.05), np.log(5.0), 40), np.linspace(-3.0, 3.0, 49)]

    def basis(self, theta: FloatArray, x: FloatArray) -> FloatArray:
        """See `lars_sweep.fit.forms.Form`."""
        slow = -np.exp(theta[..., :1]) * np.log(x[..., 0] / 1000.0)
        g = np.exp(slow + theta[..., 1:2] * np.log(x[..., 1] / 1024.0))
        return np.stack([np.ones_like(g), -g], axis=-1)

    def feasible(self) -> Inequalities:
        """See `lars_sweep.fit.forms.Form`."""
        return Inequalities(np.array([[0.0, -1.0], [1.0, 0.0]]), np.array([0.0, BEST_ACCURACY]))

    def natural(self, theta: FloatArray) -> FloatArray:
        """(q, p - q)."""
        return np.stack([np.exp(theta[..., 0]), theta[..., 1]], axis=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collapse:
    """The test of p = q.

    No sweep's curve is exactly of this form. Where seeds scatter less than the form with both
    exponents misses by, that misfit is the noise of the test, on the cells to spare: p and q trade
    it between them, and judged by the seeds alone a true law of steps would be rejected.
    """

    p: float
    """Exponent of the batch."""
    q: float
    """Exponent of the epochs."""
    p_value: float
    """Of p = q, F test."""
    collapses: bool
    """Not rejected at 5 %: that is no proof."""
    sigma_source: str
    """replicates, user or residuals."""
    at_bound: tuple[str, ...]
    """Parameters that the data do not identify."""
    verdict: str
    """One sentence."""


def collapse(
    rows: Rows,
    *,
    lr: str = "base_lr",
    metric: str = "accuracy",
    sigma: float | None = None,
    pool: Collection[str] = (),
) -> Collapse | Answer:
    """Test whether batch and epochs act through their ratio alone; arguments as `steps.steps_fit`.

    Raises:
        OutcomeError: a column is missing, or rows differ in what is not modeled.
    """
    table, noise = tuned(rows, lr=lr, metric=metric, sigma=sigma, pool=pool)
    return collapse_of(table, noise)


def collapse_of(table: Tuned, noise: Noise | None) -> Collapse | Answer:
    """`collapse` from tuned cells."""
    if len(table) < MINIMUM_CELLS:
        found = count(len(table), "cell")
        return not_identified(f"{found} of batch and epochs, {MINIMUM_CELLS} needed")
    if len(np.unique(table.batch)) < 2 or len(np.unique(table.epochs)) < 2:
        return not_identified(
            "batch and epochs must both vary: two exponents need both, and small batches with few "
            "epochs tell them apart best"
        )
    curve = fit(BatchEpochs(), table.data())
    left = curve.residual_noise(least=1)
    if noise is None or (left is not None and left.variance > noise.variance):
        noise = left
    if noise is None:
        return not_identified("the curve meets every cell: no noise to judge by; add seeds")
    rise = float(profile_of_shape(curve, 1, np.zeros(1))[0]) - curve.rss
    statistic = max(rise, 0.0) / noise.variance
    p_value = f_tail(statistic, 1, noise.nu)
    q, apart = curve.parameters["q"], curve.parameters["p-q"]
    holds = p_value >= LEVEL
    return Collapse(
        p=q + apart,
        q=q,
        p_value=p_value,
        collapses=holds,
        sigma_source=noise.source,
        at_bound=curve.at_bound,
        verdict=_verdict(holds, p_value, q + apart, q),
    )


def _verdict(holds: bool, p_value: float, p: float, q: float) -> str:
    if holds:
        return (
            f"Batch and epochs acting through the number of steps alone is not rejected "
            f"({p_text(p_value)})."
        )
    return (
        f"Accuracy is no curve in steps alone ({p_text(p_value)}): it falls as B to the power "
        f"{p:.2f} and is bought back as epochs to the power {q:.2f}."
    )
