"""What the user may state about a fit."""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ("lr-interval", "epochs", "batch", "best-lr", "critical-batch", "gap", "layers")
"""The questions that an analysis answers, as ``--kind`` names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """What the rows do not say themselves."""

    delta: float = 0.5
    """Points below the plateau that still count as good (the sweep file's ``protocol.delta``)."""
    sigma: float | None = None
    """Standard deviation of one seed, percent; None: from replicate seeds."""
    target: float | None = None
    """Accuracy to reach, percent; None: that of the baseline batch, which is itself an estimate."""
    baseline: int | None = None
    """Global batch that others are compared with; None: the smallest of each group."""
    margin: float | None = None
    """Difference of generalization gaps that counts as none, nats; None: 10 % of the baseline's."""
    keep_up: bool = True
    """Whether to fit LR intervals against the baseline's plateau too: three more fits a batch."""
    paired: bool = False
    """Whether a seed had the same random numbers at every point (the sweep file's
    ``seeds.paired``); LR intervals are then fitted by blocks, gaps compared seed by seed."""
    kinds: tuple[str, ...] = KINDS
    """Which questions to answer; the others' sections are empty."""
