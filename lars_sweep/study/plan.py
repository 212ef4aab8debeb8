"""The plan: what a run is going to do, fixed and durable before any worker exists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, cast

from lars_sweep.errors import RunError
from lars_sweep.rundir.layout import RunDir, damaged_plan
from lars_sweep.spec.strata import DataFacts, Point, Stratum, build_strata
from lars_sweep.spec.sweep import ADAPTIVE, SweepSpec
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.points import planned_points


@dataclass(frozen=True, slots=True)
class QueuedTrial:
    """One point with one seed, known by the id of what it computes."""

    trial_id: str
    stratum: str
    point: int
    params: Point
    seed: int


@dataclass(frozen=True)
class Plan:
    """A sweep resolved against its data; everything in it is a function of plan.json."""

    spec: SweepSpec
    facts: DataFacts
    model_sources: Mapping[str, str]
    """sha256 of the source of each of the user's own models, by reference."""
    strata_names: tuple[str, ...]
    queue: tuple[QueuedTrial, ...]
    """All trials of planned strategies in the order in which they are taken; empty otherwise."""

    @cached_property
    def strata(self) -> Mapping[str, Stratum]:
        made = build_strata(self.spec, self.facts, self.model_sources)
        return {stratum.name: stratum for stratum in made}

    @property
    def is_adaptive(self) -> bool:
        return self.spec.strategy.kind in ADAPTIVE

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.spec.seeds.values

    @property
    def total_trials(self) -> int:
        """Trials when all is done."""
        if not self.is_adaptive:
            return len(self.queue)
        return len(self.strata) * self.points_per_stratum * len(self.seeds)

    @property
    def points_per_stratum(self) -> int:
        """``n_points`` of a sampled strategy."""
        return self.spec.strategy.n_points or 0

    def trial(self, queued: QueuedTrial) -> TrialSpec:
        """The resolved trial.

        Raises:
            RunError: this version of lars-sweep resolves it to another computation.
        """
        trial = self.strata[queued.stratum].trial(queued.params, queued.seed)
        if trial.trial_id != queued.trial_id:
            raise RunError(
                f"trial {queued.trial_id} of stratum {queued.stratum} resolves to "
                f"{trial.trial_id} here: the run was planned by another version of lars-sweep; "
                "finish it with that version, or launch the sweep anew"
            )
        return trial

    def queue_point(self, stratum: str, point: int, params: Point) -> list[QueuedTrial]:
        """All seeds of one point, together."""
        resolve = self.strata[stratum].trial
        return [
            QueuedTrial(resolve(params, seed).trial_id, stratum, point, params, seed)
            for seed in self.seeds
        ]


def make_plan(
    spec: SweepSpec, facts: DataFacts, model_sources: Mapping[str, str] | None = None
) -> Plan:
    """Resolve a sweep: strata, and for planned strategies every trial.

    Raises:
        SpecError: what the file asks for is impossible with this data, a point is there twice, or
            Optuna refuses the sampler or the pruner.
    """
    plan = Plan(spec, facts, model_sources or {}, strata_names=(), queue=())
    plan = replace(plan, strata_names=tuple(plan.strata))
    if spec.strategy.pruner or plan.is_adaptive:
        from lars_sweep.study.strategy import check_strategy  # Optuna loads only where it is needed

        check_strategy(spec)
    if plan.is_adaptive:
        return plan
    kind = cast(Any, spec.strategy.kind)
    queue: dict[str, QueuedTrial] = {}
    for name, stratum in plan.strata.items():
        points = planned_points(stratum, kind, plan.points_per_stratum, spec.strategy.seed)
        for number, params in enumerate(points):
            for queued in plan.queue_point(name, number, params):
                # Two draws may hit one point where there are few choices; a grid has no doubles.
                queue.setdefault(queued.trial_id, queued)
    return replace(plan, queue=tuple(queue.values()))


def plan_content(plan: Plan, *, trainer: str) -> dict[str, object]:
    """plan.json without its stamp (lars_sweep.rundir.layout.create_run adds it)."""
    number = {name: index for index, name in enumerate(plan.strata_names)}
    return {
        "sweep": plan.spec.name,
        "spec_hash": plan.spec.spec_hash,
        "trainer": trainer,
        "spec": plan.spec.model_dump_json(),
        "facts": asdict(plan.facts),
        "model_sources": dict(plan.model_sources),
        "strata": plan.strata_names,
        "queue": [
            [q.trial_id, number[q.stratum], q.point, dict(q.params), q.seed] for q in plan.queue
        ],
    }


def load_plan(run: RunDir) -> Plan:
    """The plan of a run.

    Raises:
        RunError: plan.json is damaged.
    """
    content = cast(Mapping[str, Any], run.content)
    try:
        strata: Sequence[str] = content["strata"]
        return Plan(
            spec=SweepSpec.model_validate_json(content["spec"]),
            facts=DataFacts(**content["facts"]),
            model_sources=content["model_sources"],
            strata_names=tuple(strata),
            queue=tuple(
                QueuedTrial(trial_id, strata[stratum], point, params, seed)
                for trial_id, stratum, point, params, seed in content["queue"]
            ),
        )
    except (LookupError, TypeError, ValueError) as error:
        raise damaged_plan(run.path) from error
