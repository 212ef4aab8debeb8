"""From what the user typed to a resolved plan: shared by plan and launch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from lars_sweep.errors import SpecError

if TYPE_CHECKING:
    from lars_sweep.cluster.profile import Profile
    from lars_sweep.spec.strata import DataFacts
    from lars_sweep.spec.sweep import SweepSpec
    from lars_sweep.spec.trial import TrialSpec
    from lars_sweep.study.cost import Cost
    from lars_sweep.study.plan import Plan

PLENTY = 1 << 22
"""Training samples that no sweep's batch exceeds."""
PUBLISHED = {
    "imagenet": (1_281_167, 256), "cifar10": (50_000, 32), "cifar100": (50_000, 32),
    "fashion-mnist": (60_000, 28),
}  # fmt: skip
"""Training samples and side of the images of what has to be fetched: to simulate needs no files."""


def find_sweep(path: Path) -> Path:
    """The file itself, or the shipped sweep of that name."""
    from lars_sweep.shipped import shipped

    if path.exists():
        return path
    inside = shipped("sweeps")
    for candidate in (inside / path, inside / f"{path}.toml", inside.parent / path):
        if candidate.is_file():
            return candidate
    known = sorted(str(p.relative_to(inside)) for p in inside.rglob("*.toml"))
    raise SpecError(f"no sweep file {str(path)!r}; shipped sweeps: {', '.join(known)}")


def plan_of(
    path: Path, overrides: Sequence[str], data_dir: Path | None, *, simulated: bool = False
) -> Plan:
    """Load the sweep, look at its data, make the plan.

    A simulated plan does without the files of a data set whose size is known. Its content id, and
    with it every trial_id, is another: no simulated outcome can pass for a trained one.
    """
    spec, facts = _loaded(path, overrides, data_dir, simulated=simulated)
    return _planned(spec, facts)


def smoke_trials_of(path: Path, overrides: Sequence[str], data_dir: Path | None) -> list[TrialSpec]:
    """The sweep's trials, shrunk; planned as if the data were large, so that any sample will do."""
    from lars_sweep.study.cost import example_trials
    from lars_sweep.worker.smoke import smoke_trials

    spec, facts = _loaded(path, overrides, data_dir)
    plan = _planned(spec, replace(facts, train_samples=max(facts.train_samples, PLENTY)))
    trials = chain.from_iterable(example_trials(plan).values())
    return smoke_trials(trials, samples=facts.samples(spec.val_share))


def _loaded(
    path: Path, overrides: Sequence[str], data_dir: Path | None, *, simulated: bool = False
) -> tuple[SweepSpec, DataFacts]:
    from lars_sweep.data import describe_dataset
    from lars_sweep.spec.loading import load_sweep
    from lars_sweep.spec.strata import DataFacts

    use_import_path()
    spec = load_sweep(find_sweep(path), overrides)
    if simulated and spec.data.name in PUBLISHED:
        size, _ = PUBLISHED[spec.data.name]
        return spec, DataFacts(content_id="SIMULATED", train_samples=size)
    info = describe_dataset(spec.data.name, data_dir)
    content_id = f"SIMULATED {info.content_id}" if simulated else info.content_id
    return spec, DataFacts(content_id=content_id, train_samples=info.train_samples)


def _planned(spec: SweepSpec, facts: DataFacts) -> Plan:
    from lars_sweep.study.plan import make_plan

    return make_plan(spec, facts, model_sources(spec))


def model_sources(spec: SweepSpec) -> dict[str, str]:
    """sha256 of the source of each of the user's own models that the sweep names."""
    from lars_sweep.spec.axes import Choices, resolve
    from lars_sweep.spec.fields import FIELDS, is_user_object
    from lars_sweep.spec.userobject import module_source_hash

    models = resolve(FIELDS["model"], spec.axes["model"], {})
    assert isinstance(models, Choices)
    return {name: module_source_hash(name) for name in models.values if is_user_object(name)}


def import_path() -> tuple[str, ...]:
    """Where the user's own modules are looked for: here, then PYTHONPATH."""
    listed = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return (str(Path.cwd()), *(str(Path(entry).resolve()) for entry in listed if entry))


def use_import_path() -> None:
    """Make the user's modules importable, as they will be in the workers."""
    for entry in import_path():
        if entry not in sys.path:
            sys.path.append(entry)


def refuse_broken_models(plan: Plan, profile: Profile) -> None:
    """Import the user's own models before anything is submitted: a canary would wait in the queue.

    Where jobs get another interpreter, a container or modules that are loaded for them, an import
    that fails here may succeed there: then it is only told, and the canary decides.

    Raises:
        SpecError: one fails to import, or has no such function.
    """
    from lars_sweep.cli.talk import say
    from lars_sweep.spec.userobject import load_object

    there = profile.environment
    other = there.python is not None or there.container_image is not None or bool(there.setup)
    for reference in plan.model_sources:
        try:
            load_object(reference)
        except SpecError as error:
            if profile.executor == "local" or not other:
                raise
            say(f"warning: {error} here; profile {profile.name} sets jobs up otherwise")


def refuse_over_budget(plan: Plan, cost: Cost) -> None:
    """Stop before anything is submitted if the plan exceeds the sweep file's budget.

    Raises:
        LarsSweepError: it does; the message says by how much and what to change.
    """
    from lars_sweep.spec.budget import over_budget

    budget = plan.spec.budget
    limits = (
        ("trials", cost.trials, budget.trials),
        ("device_hours", cost.device_hours, budget.device_hours),
    )
    for name, value, limit in limits:
        if value is not None and limit is not None and value > limit:
            raise over_budget(name, value, limit)


def image_size_of(plan: Plan, data_dir: Path | None, *, simulated: bool) -> int:
    """Side of the data set's images, pixels; a simulation does without their files."""
    from lars_sweep.data import describe_dataset

    name = plan.spec.data.name
    if simulated and name in PUBLISHED:
        return PUBLISHED[name][1]
    return describe_dataset(name, data_dir).image_size
