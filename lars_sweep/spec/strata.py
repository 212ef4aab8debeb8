"""Strata: the parts of a sweep whose points never compete, each an Optuna study of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lars_sweep.errors import Problem
from lars_sweep.spec.axes import Choices, Dimension, depends_on, resolve
from lars_sweep.spec.budget import refuse_far_over_budget
from lars_sweep.spec.fields import FIELDS, ScienceField, is_user_object
from lars_sweep.spec.sweep import SweepSpec
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.tomlfile import raise_if_any, shown

Point = Mapping[str, Any]
"""A value for each dimension of a stratum, by the dimension's name."""

_SHORT = {"model": "", "optimizer": "", "global_batch": "B", "epochs": "E"}
_QUANTITIES = frozenset(f"{f.name}_{unit}" for f in FIELDS.values() for unit in f.units)
# What decides whether a trial can exist at all.
_STRUCTURAL = {"global_batch", "bn_batch", "epochs", "base_lr", *_QUANTITIES}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """What a plan must know of a data set."""

    content_id: str
    train_samples: int
    """Size of the training set before a validation part is taken out."""

    def samples(self, val_share: float) -> int:
        """N, the size of the training part (lars_sweep.data.split cuts to the same size)."""
        return self.train_samples - round(val_share * self.train_samples)


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """One study: what its trials share, and the dimensions in which its points differ."""

    name: str
    """Unique in the sweep; letters, digits, ``-``, ``_`` and ``.`` only."""
    fixed: Mapping[str, Any]
    """Fields with one value here; quantities by unit, as in ``warmup_epochs``."""
    dimensions: tuple[Dimension, ...]
    """What a point sets. A grid whose axes depend on each other lists every value of each."""
    _free: Sequence[ScienceField] = field(repr=False)
    _context: _Context = field(repr=False)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every point of a grid, the last dimension fastest."""
        for values in assignments(self._free, self._context.spec.axes, self.fixed):
            yield {name: value for name, value in values.items() if name not in self.fixed}

    def corners(self) -> Iterator[dict[str, Any]]:
        """Points of a sampled stratum that meet every extreme of what makes a trial possible."""
        names = [dimension.name for dimension in self.dimensions]
        ends = [_ends(d) if d.name in _STRUCTURAL else _ends(d)[:1] for d in self.dimensions]
        for values in itertools.product(*ends):
            yield dict(zip(names, values, strict=True))

    def trial(self, point: Point, seed: int) -> TrialSpec:
        """The trial of a point with one of the sweep's seeds.

        Unless seeds are paired, the trial's own seed is derived from the whole trial, so no two
        points share their random numbers (PROTOCOL.md 17).
        """
        trial = self._resolved(point, seed)
        if self._context.spec.seeds.paired:
            return trial
        return replace(trial, seed=int(trial.trial_id[:12], 16))

    def _resolved(self, point: Point, seed: int) -> TrialSpec:
        values = {**self.fixed, **point}
        science = {
            name: value
            for name, value in values.items()
            if name not in _QUANTITIES and FIELDS[name].applies(values)
        }
        trial = TrialSpec(**self._context.common(values), **science, seed=seed)
        warmup_steps = _warmup_steps(values, trial)
        if warmup_steps == 0:
            return replace(trial, poly_origin="global") if trial.poly_origin != "global" else trial
        start = values.get("warmup_start_share", 0.0) * trial.base_lr
        start = values.get("warmup_start_lr", start)
        return replace(trial, warmup_steps=warmup_steps, warmup_start=start)


@dataclass(frozen=True)
class _Context:
    """What all strata of a sweep share."""

    spec: SweepSpec
    facts: DataFacts
    model_sources: Mapping[str, str]

    def common(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a trial that are no fields of a sweep file."""
        model = values["model"]
        return {
            "model_source": self.model_sources[model] if is_user_object(model) else None,
            "dataset": self.spec.data.name,
            "data_id": self.facts.content_id,
            "samples": self.facts.samples(self.spec.val_share),
            "protocol": self.spec.protocol.name,
            "val_share": self.spec.val_share,
        }


def build_strata(
    spec: SweepSpec, facts: DataFacts, model_sources: Mapping[str, str] | None = None
) -> tuple[Stratum, ...]:
    """All strata of a sweep.

    Args:
        spec: the sweep.
        facts: of its data set.
        model_sources: sha256 of the source of each ``package.module:function`` among the models.

    Raises:
        SpecError: trials that cannot exist with these data, and points that are the same trial.
        LarsSweepError: trials that are many more than the budget allows.
    """
    context = _Context(spec, facts, model_sources or {})
    fields = [FIELDS[name] for name in spec.axes]
    separating = [f for f in fields if f.name in spec.strategy.strata]
    others = [f for f in fields if f.name not in spec.strategy.strata]
    strata = tuple(
        _stratum(values, others, context) for values in assignments(separating, spec.axes, {})
    )
    refuse_far_over_budget(spec, itertools.chain.from_iterable(map(_points, strata)))
    raise_if_any(_problems(spec, strata))
    return strata


def _points(stratum: Stratum) -> Iterator[Point]:
    """As many as the stratum has: those of a grid, or empty ones for what a sampler is to draw."""
    strategy = stratum._context.spec.strategy
    return (
        stratum.grid() if strategy.kind == "grid" else itertools.repeat({}, strategy.n_points or 0)
    )


def _stratum(values: dict[str, Any], others: list[ScienceField], context: _Context) -> Stratum:
    fixed, free = dict(values), []
    for f in others:
        if not f.applies(fixed):
            continue
        dimension = _dimension(f, context.spec.axes, fixed)
        if isinstance(dimension, Choices) and len(dimension.values) == 1:
            fixed[dimension.name] = dimension.values[0]
        else:
            free.append(f)
    return Stratum(
        name=_name(values),
        fixed=fixed,
        dimensions=_dimensions(free, context.spec.axes, fixed),
        _free=free,
        _context=context,
    )


def _dimension(
    f: ScienceField, axes: Mapping[str, Any], fixed: Mapping[str, Any]
) -> Dimension | None:
    """None where the axis depends on a field that varies within the stratum."""
    return resolve(f, axes[f.name], fixed) if set(depends_on(axes[f.name])) <= set(fixed) else None


def _dimensions(
    free: list[ScienceField], axes: Mapping[str, Any], fixed: Mapping[str, Any]
) -> tuple[Dimension, ...]:
    dimensions = [_dimension(f, axes, fixed) for f in free]
    known = tuple(d for d in dimensions if d is not None)
    if len(known) == len(dimensions):
        return known
    found: dict[str, dict[Any, None]] = {}
    for values in assignments(free, axes, fixed):
        for name, value in values.items():
            if name not in fixed:
                found.setdefault(name, {})[value] = None
    return tuple(Choices(name, tuple(values)) for name, values in found.items())


def assignments(
    fields: Sequence[ScienceField], axes: Mapping[str, Any], given: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Every combination of the fields' values, each axis taken at the values before it."""
    if not fields:
        yield dict(given)
        return
    first, *rest = fields
    if not first.applies(given):
        yield from assignments(rest, axes, given)
        return
    dimension = resolve(first, axes[first.name], given)
    assert isinstance(dimension, Choices), f"{first.name} has no points to enumerate"
    for value in dimension.values:
        yield from assignments(rest, axes, {**given, dimension.name: value})


def _warmup_steps(values: Mapping[str, Any], trial: TrialSpec) -> int:
    """Length of the warm-up, to the nearest step."""
    if "warmup_steps" in values:
        return int(values["warmup_steps"])
    if "warmup_share" in values:
        return round(float(values["warmup_share"]) * trial.steps)
    epochs: float = values.get("warmup_epochs", 0.0)
    return round(epochs * trial.samples / trial.global_batch)


def _ends(dimension: Dimension) -> tuple[Any, ...]:
    return dimension.values if isinstance(dimension, Choices) else (dimension.low, dimension.high)


def _name(values: Mapping[str, Any]) -> str:
    parts = (f"{_SHORT.get(name, name + '_')}{_text(value)}" for name, value in values.items())
    return "-".join(parts) or "all"


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).lower() if isinstance(value, bool) else str(value).replace(":", ".")


def _problems(spec: SweepSpec, strata: Sequence[Stratum]) -> Iterator[Problem]:
    """Impossible trials, strata with nothing to sample, and points that are the same trial."""
    kind, toml = spec.strategy.kind, spec.toml
    seen: dict[str, str] = {}
    for stratum in strata:
        if kind != "grid" and not stratum.dimensions:
            given = f"{kind} for stratum {stratum.name}, where nothing varies"
            allowed = 'kind = "grid", or an axis with more than one value'
            yield toml.problem(("strategy", "kind"), given, allowed)
        for point in stratum.grid() if kind == "grid" else stratum.corners():
            trial = stratum.trial(point, 0)
            for name, given, allowed in _impossible(trial):
                yield toml.problem(spec.place(name), given, allowed)
            if kind == "grid":
                label = f"{stratum.name} {shown(point)}"
                first = seen.setdefault(trial.trial_id, label)
                if first is not label:
                    given = f"twice the same trial: {first} and {label}"
                    yield toml.problem(("space",), given, "each point once")


def _impossible(trial: TrialSpec) -> Iterator[tuple[str, str, str]]:
    """Field, what it is, and what it may be."""
    batch, group, samples = trial.global_batch, trial.bn_batch, trial.samples
    if batch > samples:
        yield "global_batch", f"{batch:,}", f"at most N = {samples:,}, the training part"
    if batch % group:
        yield "global_batch", f"{batch:,}", f"a multiple of bn_batch = {group:,}"
    if trial.warmup_steps > trial.steps:
        given = f"{trial.warmup_steps:,} steps at global_batch {batch:,}"
        yield "warmup", given, f"at most the {trial.steps:,} steps of the run"
    if trial.warmup_start > trial.base_lr:
        given = f"LR {trial.warmup_start:g}"
        yield "warmup_start", given, f"at most the peak, base_lr = {trial.base_lr:g}"
