"""What a plan costs, before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumCost:
    """One stratum: a line of `lars-sweep plan`."""

    stratum: str
    points: int
    trials: int
    steps_per_trial: tuple[int, int]
    """Least and most optimizer steps of a trial."""
    steps: int
    images: int
    """Training images, steps·B summed over trials."""
    noise_images: int = 0
    """Images for the noise scale on top of them, where the sweep has it measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The whole plan."""

    strata: Sequence[StratumCost]
    device_hours: float | None
    """At the sweep file's ``budget.images_per_s``; None where the file does not say."""

    @property
    def points(self) -> int:
        return sum(line.points for line in self.strata)

    @property
    def trials(self) -> int:
        return sum(line.trials for line in self.strata)

    @property
    def steps(self) -> int:
        return sum(line.steps for line in self.strata)

    @property
    def images(self) -> int:
        return sum(line.images for line in self.strata)

    @property
    def noise_images(self) -> int:
        return sum(line.noise_images for line in self.strata)


def example_trials(plan: Plan) -> dict[str, list[TrialSpec]]:
    """Resolved trials by stratum: all of a planned strategy, of an adaptive one a single point.

    That point is a corner of the search space; its steps stand for all, since epochs and batch are
    the stratum's own by default.
    """
    found: dict[str, list[TrialSpec]] = {name: [] for name in plan.strata_names}
    for queued in plan.queue:
        found[queued.stratum].append(plan.strata[queued.stratum].trial(queued.params, queued.seed))
    if plan.is_adaptive:
        for name, stratum in plan.strata.items():
            corner = next(stratum.corners())
            found[name] = [stratum.trial(corner, seed) for seed in plan.seeds]
    return found


def plan_cost(plan: Plan, trials: dict[str, list[TrialSpec]]) -> Cost:
    """Trials, steps and images of a plan.

    Args:
        plan: the plan.
        trials: from `example_trials`.
    """
    strata = []
    noise = None if plan.spec.noise_scale is None else plan.spec.noise_scale.plan
    for name, examples in trials.items():
        times = plan.points_per_stratum if plan.is_adaptive else 1
        steps = [trial.steps for trial in examples]
        strata.append(
            StratumCost(
                stratum=name,
                points=times * len({t.trial_id for t in examples}) // len(plan.seeds),
                trials=times * len(examples),
                steps_per_trial=(min(steps), max(steps)),
                steps=times * sum(steps),
                images=times * sum(trial.steps * trial.global_batch for trial in examples),
                noise_images=times * sum(noise.images(t) for t in examples) if noise else 0,
            )
        )
    rate = plan.spec.budget.images_per_s
    images = sum(line.images + line.noise_images for line in strata)
    return Cost(strata=strata, device_hours=images / rate / 3600 if rate else None)
