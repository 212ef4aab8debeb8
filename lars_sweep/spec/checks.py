"""What must hold of the axes of a sweep together, apart from the data set."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lars_sweep.errors import Problem
from lars_sweep.spec.axes import (
    ByBatch,
    ByOptimizer,
    Choices,
    children,
    depends_on,
    listed,
    resolve,
)
from lars_sweep.spec.axis_check import AxisCheck, is_single
from lars_sweep.spec.fields import FIELDS, place
from lars_sweep.tomlfile import Path, TomlFile, shown, unknown


def field_at(path: Path) -> str:
    """The field that a place in the file is about."""
    return "model" if path == ("model", "name") else str(path[1])


class AxisChecks:
    """One pass over all axes.

    Args:
        placed: every axis of the file that has the right form, by its place.
        strata: ``strategy.strata``; empty if that cannot be read.
        sampled: whether points are drawn and not enumerated.
        toml: the file, to point at.
        broken: fields whose axis is malformed in part; they are not reported as missing.
    """

    def __init__(
        self,
        placed: Mapping[Path, Any],
        strata: tuple[str, ...],
        sampled: bool,
        toml: TomlFile,
        broken: Collection[str] = (),
    ) -> None:
        self._placed = placed
        self._strata = strata
        self._sampled = sampled
        self._toml = toml
        self._broken = set(broken)
        self._sound: dict[str, tuple[Path, Any]] = {}

    def problems(self) -> Iterator[Problem]:
        """All problems: of each axis alone, then of axes with each other."""
        for path, axis in self._placed.items():
            name = field_at(path)
            found = list(self._misplaced(path, axis)) or list(self._alone(path, axis))
            yield from found
            if found:
                self._broken.add(name)
            elif name not in self._broken:
                self._sound[name] = path, axis
        yield from self._missing()
        yield from self._wrong_strata()
        yield from self._without_effect()
        yield from self._incomplete_tables()
        if self._sampled:
            yield from self._nested_though_sampled()

    def _misplaced(self, path: Path, axis: Any) -> Iterator[Problem]:
        section, name = str(path[0]), field_at(path)
        if name not in FIELDS:
            known = (f.name for f in FIELDS.values() if section == "space" or f.home == section)
            yield self._toml.problem(path, f"unknown key {name!r}", unknown(name, known))
            return
        field = FIELDS[name]
        if name in self._sound:
            other, _ = self._sound[name]
            yield self._toml.problem(path, shown(axis), f"one place; [{other[0]}] has {name} too")
        elif section == "space" and field.whole_list:
            yield self._toml.problem(path, shown(axis), f"a single list, in [{field.home}]")
        elif section == "training" and field.home != "training":
            yield self._toml.problem(path, shown(axis), f"{name} in [{field.home}]")
        elif section == "training" and not (is_single(axis) or field.whole_list):
            yield self._toml.problem(
                path, shown(axis), "a single value; an axis belongs in [space]"
            )

    def _alone(self, path: Path, axis: Any) -> Iterator[Problem]:
        field = FIELDS[field_at(path)]
        separating = field.name in self._strata
        check = AxisCheck(
            field=field,
            enumerated=not self._sampled or separating or field.stated_values_only,
            toml=self._toml,
        )
        return check.whole_list(path, axis) if field.whole_list else check.problems(path, axis)

    def _missing(self) -> Iterator[Problem]:
        for name, field in FIELDS.items():
            if field.required and name not in self._sound and name not in self._broken:
                allowed = f"{field.rule} ({field.meaning}); required"
                yield self._toml.problem(place(name), "nothing", allowed)
        _, schedule = self._sound.get("schedule", (None, FIELDS["schedule"].default))
        if "step" in listed(schedule) and "milestones" not in self._sound.keys() | self._broken:
            allowed = "a list of shares of the run; required by schedule = step"
            yield self._toml.problem(place("milestones"), "nothing", allowed)

    def _wrong_strata(self) -> Iterator[Problem]:
        for index, name in enumerate(self._strata):
            path = ("strategy", "strata", index)
            if name not in FIELDS or FIELDS[name].whole_list:
                yield self._toml.problem(path, shown(name), unknown(name, FIELDS))
            elif name in self._strata[:index]:
                yield self._toml.problem(path, shown(name), "each field once")
            elif name in self._sound:
                _, axis = self._sound[name]
                for other in sorted(set(depends_on(axis)) - set(self._strata)):
                    allowed = f"{other} among the strata too, since {name} depends on it"
                    yield self._toml.problem(path, shown(name), allowed)

    def _without_effect(self) -> Iterator[Problem]:
        """Fields that no trial of the sweep could have."""
        for name, (path, axis) in self._sound.items():
            if FIELDS[name].only_with is None:
                continue
            other, wanted = FIELDS[name].only_with or ("", ())
            possible = set(self._possible(other))
            if possible and not possible & set(wanted):
                needed = f"only with {other} = {' or '.join(map(str, wanted))}"
                yield self._toml.problem(path, shown(axis), f"{needed}, which no trial has")

    def _possible(self, name: str) -> Iterator[Any]:
        """All values that a choice takes anywhere in the sweep; none if that is not known."""
        if name in self._broken or (FIELDS[name].required and name not in self._sound):
            return
        _, axis = self._sound.get(name, (None, FIELDS[name].default))
        leaves = [axis]
        while leaves:
            leaf = leaves.pop()
            leaves += children(leaf).values()
            if not children(leaf):
                yield from listed(leaf)

    def _incomplete_tables(self) -> Iterator[Problem]:
        """Every optimizer and batch needs an entry, and every entry an optimizer or batch."""
        for name, (path, axis) in self._sound.items():
            optimizers = [
                optimizer
                for optimizer in self._possible("optimizer")
                if FIELDS[name].applies({"optimizer": optimizer})
            ]
            if isinstance(axis, ByBatch):
                yield from self._batch_entries(path, axis, optimizers)
            elif isinstance(axis, ByOptimizer) and optimizers:
                yield from self._entries(path, "by_optimizer", axis.by_optimizer, optimizers)
                for optimizer, inner in axis.by_optimizer.items():
                    if isinstance(inner, ByBatch) and optimizer in optimizers:
                        at = (*path, "by_optimizer", optimizer)
                        yield from self._batch_entries(at, inner, [optimizer])

    def _batch_entries(
        self, path: Path, axis: ByBatch, optimizers: Collection[Any]
    ) -> Iterator[Problem]:
        _, batches = self._sound.get("global_batch", (None, None))
        wanted: dict[Any, None] = {}
        for optimizer in optimizers if batches is not None else ():
            if isinstance(batches, ByOptimizer) and optimizer not in batches.by_optimizer:
                return
            dimension = resolve(FIELDS["global_batch"], batches, {"optimizer": optimizer})
            assert isinstance(dimension, Choices)
            wanted |= dict.fromkeys(dimension.values)
        if wanted:
            yield from self._entries(path, "by_batch", axis.by_batch, wanted)

    def _entries(
        self, path: Path, key: str, entries: Collection[Any], wanted: Collection[Any]
    ) -> Iterator[Problem]:
        needed = ", ".join(map(str, wanted))
        for entry in entries:
            if entry not in wanted:
                at = (*path, key, str(entry))
                yield self._toml.problem(at, f"an entry for {entry}", f"entries for {needed} only")
        absent = [str(value) for value in wanted if value not in entries]
        if absent:
            given = f"no entry for {', '.join(absent)}"
            yield self._toml.problem((*path, key), given, f"one for each of {needed}")

    def _nested_though_sampled(self) -> Iterator[Problem]:
        """A sampler draws each dimension by itself, so none may depend on one that varies."""
        for path, axis in self._sound.values():
            for other in sorted(set(depends_on(axis)) - set(self._strata)):
                if other in self._sound and not is_single(self._sound[other][1]):
                    given = f"values that depend on {other}, which varies within a stratum"
                    allowed = f"{other} among strategy.strata, or kind = grid"
                    yield self._toml.problem(path, given, allowed)
