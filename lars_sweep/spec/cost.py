"""What trials cost, before anything is run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lars_sweep.spec.strata import Stratum
from lars_sweep.spec.sweep import SweepSpec
from lars_sweep.spec.trial import TrialSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A sum over trials."""

    trials: int
    steps: int
    """Optimizer steps."""
    images: int
    """Training images, S·B for each trial."""

    def device_hours(self, images_per_s: float) -> float:
        """Hours of one device at a training throughput, evaluations not counted."""
        return self.images / images_per_s / 3600


def cost(trials: Iterable[TrialSpec]) -> Cost:
    """The sum over the trials."""
    count = steps = images = 0
    for trial in trials:
        count += 1
        steps += trial.steps
        images += trial.steps * trial.global_batch
    return Cost(trials=count, steps=steps, images=images)


def cost_at_most(spec: SweepSpec, strata: Sequence[Stratum]) -> Cost:
    """The cost of a sweep whose points are not drawn yet: as if all were its longest trial."""
    replicates = (spec.strategy.n_points or 0) * len(spec.seeds.values)
    steps = images = 0
    for stratum in strata:
        corners = [cost([stratum.trial(point, 0)]) for point in stratum.corners()]
        steps += replicates * max(corner.steps for corner in corners)
        images += replicates * max(corner.images for corner in corners)
    return Cost(trials=replicates * len(strata), steps=steps, images=images)
