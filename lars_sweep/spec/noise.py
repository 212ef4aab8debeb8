"""Where a trial stands still for its gradient noise to be measured, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

from lars_sweep.spec.trial import TrialSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisePlan:
    """How often the noise scale of each trial is measured (PROTOCOL.md 19).

    No part of a trial: the weights stand still meanwhile, and end with the same bits without it.
    A measurement holds two more sets of gradients; a trial that has no memory for them fails.
    """

    measurements: int
    """At each of the chosen evaluation points."""
    evaluations: int | None = None
    """Of the trial's evaluation points; None: all."""

    def steps(self, trial: TrialSpec) -> tuple[int, ...]:
        """After which it is measured: evenly spaced evaluation points, the last one among them."""
        points = trial.evaluation_steps
        count = min(self.evaluations or len(points), len(points))
        return tuple(points[-(-k * len(points) // count) - 1] for k in range(1, count + 1))

    def images(self, trial: TrialSpec) -> int:
        """Samples of all measurements of a trial; each is a forward and a backward pass."""
        each = trial.bn_batch * micro_batches(trial)
        return len(self.steps(trial)) * self.measurements * each


def micro_batches(trial: TrialSpec) -> int:
    """K of a measurement: an atom is a micro-batch, as many as make a step; one has no spread."""
    return max(2, trial.global_batch // trial.bn_batch)
