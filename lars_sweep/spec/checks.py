"""What must hold of the axes of a sweep, apart from the data set."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from lars_sweep.errors import Problem
from lars_sweep.spec.axes import (
    ByBatch,
    ByOptimizer,
    Choices,
    Coupled,
    LinearRange,
    LogRange,
    Quantity,
    children,
    depends_on,
    listed,
    resolve,
)
from lars_sweep.spec.fields import FIELDS, Rule, ScienceField
from lars_sweep.spec.tomlfile import Path, TomlFile, shown, unknown

_SECTIONS_OF_SINGLE_VALUES = ("model", "data", "training")


def place(name: str, section: str) -> Path:
    """Where a section of the file holds a field."""
    return (section, "name" if (section, name) == ("model", "model") else name)


def field_at(path: Path) -> str:
    """The field that the place is about."""
    return "model" if path == ("model", "name") else str(path[1])


class AxisChecks:
    """One pass over the axes; `problems` yields all that is wrong with them.

    Args:
        placed: every axis of the file that has the right form, by its place.
        broken: fields whose axis has not; they are not reported again as missing.
        strata: ``strategy.strata``; None if that section is broken.
        sampled: whether points are drawn and not enumerated.
        toml: the file, to point at.
    """

    def __init__(
        self,
        placed: Mapping[Path, Any],
        strata: tuple[str, ...] | None,
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
            found = list(self._alone(path, axis))
            yield from found
            if found:
                self._broken.add(field_at(path))
            elif field_at(path) not in self._broken:
                self._sound[field_at(path)] = path, axis
        yield from self._missing()
        yield from self._strata_problems()
        yield from self._without_effect()
        if "optimizer" in self._sound:
            yield from self._incomplete_tables()
        if self._sampled and self._strata is not None:
            yield from self._nested_though_sampled()

    # ── one axis

    def _alone(self, path: Path, axis: Any) -> Iterator[Problem]:
        section, name = str(path[0]), field_at(path)
        if name not in FIELDS:
            homes = (
                ("training",) if section == "training" else ("training", "space", "model", "data")
            )
            names = [f.name for f in FIELDS.values() if f.home in homes]
            yield self._problem(path, f"unknown key {name!r}", unknown(name, names))
            return
        field = FIELDS[name]
        if name in self._sound:
            other, _ = self._sound[name]
            yield self._problem(path, shown(axis), f"one place, and {other[0]} has {name} already")
        elif section == "space" and field.whole_list:
            yield self._problem(path, shown(axis), f"a single list, in [{field.home}]")
        elif section == "training" and field.home != "training":
            yield self._problem(path, shown(axis), f"in [{field.home}]")
        elif field.whole_list:
            yield from self._whole_list(field, path, axis)
        elif section in _SECTIONS_OF_SINGLE_VALUES and not _is_single(axis):
            yield self._problem(path, shown(axis), "a single value; an axis belongs in [space]")
        else:
            yield from self._form(field, path, axis)

    def _whole_list(self, field: ScienceField, path: Path, axis: Any) -> Iterator[Problem]:
        if not isinstance(axis, tuple):
            yield self._problem(path, shown(axis), f"a list, each {field.rule}")
            return
        yield from self._values(_rule(field), path, axis)
        if not self._any_wrong(_rule(field), axis) and list(axis) != sorted(axis):
            yield self._problem(path, shown(axis), "increasing values")

    def _form(
        self, field: ScienceField, path: Path, axis: Any, inside: str = ""
    ) -> Iterator[Problem]:
        if isinstance(axis, ByOptimizer | ByBatch):
            yield from self._table(field, path, axis, inside)
        elif isinstance(axis, Quantity) or field.units:
            yield from self._quantity(field, path, axis)
        elif isinstance(axis, Coupled):
            yield from self._coupled(field, path, axis)
        elif isinstance(axis, LogRange | LinearRange):
            yield from self._range(field, _rule(field), path, axis)
        else:
            yield from self._values(_rule(field), path, axis)

    def _table(
        self, field: ScienceField, path: Path, axis: ByOptimizer | ByBatch, inside: str
    ) -> Iterator[Problem]:
        key = "by_optimizer" if isinstance(axis, ByOptimizer) else "by_batch"
        outer = {"optimizer": "neither", "global_batch": "by_optimizer alone"}.get(field.name)
        if outer and (outer == "neither" or key == "by_batch"):
            yield self._problem(path, key, f"{outer} of by_optimizer and by_batch for {field.name}")
        elif inside and not (inside == "by_optimizer" and key == "by_batch"):
            yield self._problem(path, f"{key} inside {inside}", "by_batch inside by_optimizer")
        elif not children(axis):
            yield self._problem((*path, key), "an empty table", "at least one entry")
        for entry, inner in children(axis).items():
            yield from self._form(field, (*path, key, entry), inner, key)

    def _quantity(self, field: ScienceField, path: Path, axis: Any) -> Iterator[Problem]:
        units = " or ".join(f"{{{unit} = …}}" for unit in field.units)
        if not field.units:
            yield self._problem(path, shown(axis), f"no unit: {field.rule}")
        elif not isinstance(axis, Quantity) or set(axis.given) - set(field.units):
            yield self._problem(path, shown(axis), f"{units}, each with one value or a list")
        elif len(axis.given) != 1:
            yield self._problem(path, shown(axis), f"exactly one of {units}")
        else:
            ((unit, given),) = axis.given.items()
            yield from self._values(field.units[unit], (*path, unit), given)

    def _coupled(self, field: ScienceField, path: Path, axis: Coupled) -> Iterator[Problem]:
        if field.name != "base_lr":
            yield self._problem(path, shown(axis), "a coupling to the batch for base_lr only")
            return
        yield from self._values(Rule(kind="integer", low=1), (*path, "from_batch"), axis.from_batch)
        yield from self._values(_rule(field), (*path, "from_lr"), axis.from_lr)
        times = (*path, "times")
        if isinstance(axis.times, LogRange | LinearRange):
            yield from self._range(field, _rule(field), times, axis.times)
        else:
            yield from self._values(_rule(field), times, axis.times)

    def _range(
        self, field: ScienceField, rule: Rule, path: Path, axis: LogRange | LinearRange
    ) -> Iterator[Problem]:
        key, (low, high) = (
            ("log", axis.log) if isinstance(axis, LogRange) else ("linear", axis.linear)
        )
        if rule.kind not in ("number", "integer"):
            yield self._problem(path, shown(axis), f"{rule}; no range")
            return
        ends = Rule(kind="number", low=rule.low, open_low=rule.open_low, high=rule.high)
        if key == "log":
            ends = Rule(kind="number", low=max(0, rule.low), open_low=rule.low <= 0, high=rule.high)
        for index, end in enumerate((low, high)):
            if not ends.accepts(end):
                yield self._problem((*path, key, index), shown(end), str(ends))
        if not low < high:
            yield self._problem((*path, key), shown((low, high)), "low < high")
        yield from self._points(field, path, axis)

    def _points(
        self, field: ScienceField, path: Path, axis: LogRange | LinearRange
    ) -> Iterator[Problem]:
        enumerated = not self._sampled or field.stated_values_only or self._is_stratum(field.name)
        at = (*path, "points")
        if axis.points is None:
            if enumerated:
                why = (
                    "a grid" if not self._sampled else f"{field.name}, whose values are enumerated,"
                )
                yield self._problem(at, "nothing", f"a number of points ≥ 2: {why} needs it")
        elif not enumerated:
            yield self._problem(
                at,
                shown(axis.points),
                "no points: a sampler draws from the range; else give a list",
            )
        elif axis.points < 2:
            yield self._problem(at, shown(axis.points), "an integer ≥ 2")
        elif field.rule and field.rule.kind == "integer" and path[-1] != "times":
            values = resolve(field, axis, {})
            if isinstance(values, Choices) and len(set(values.values)) < len(values.values):
                yield self._problem(at, shown(axis.points), "fewer points: rounded ones coincide")

    def _values(self, rule: Rule, path: Path, given: Any) -> Iterator[Problem]:
        values = listed(given)
        if not values:
            yield self._problem(path, "an empty list", f"at least one value, each {rule}")
        for index, value in enumerate(values):
            at = (*path, index) if isinstance(given, tuple) else path
            if not rule.accepts(value):
                yield self._problem(at, shown(value), _allowed(rule, value))
            elif value in values[:index]:
                yield self._problem(at, f"{shown(value)} again", "each value once")

    @staticmethod
    def _any_wrong(rule: Rule, values: tuple[Any, ...]) -> bool:
        return not all(rule.accepts(value) for value in values)

    # ── axes with each other

    def _missing(self) -> Iterator[Problem]:
        for field in FIELDS.values():
            if field.required and field.name not in self._sound and field.name not in self._broken:
                path = place(field.name, field.home)
                yield self._problem(path, "nothing", f"{field.rule} ({field.meaning}); required")

    def _strata_problems(self) -> Iterator[Problem]:
        for index, name in enumerate(self._strata or ()):
            path = ("strategy", "strata", index)
            if name not in FIELDS or FIELDS[name].whole_list:
                yield self._problem(path, shown(name), unknown(name, FIELDS))
            elif name in (self._strata or ())[:index]:
                yield self._problem(path, shown(name), "each field once")
            elif name in self._sound:
                _, axis = self._sound[name]
                for other in sorted(set(depends_on(axis)) - set(self._strata or ())):
                    yield self._problem(
                        path,
                        shown(name),
                        f"{other} among the strata too, since {name} depends on it",
                    )

    def _without_effect(self) -> Iterator[Problem]:
        """Fields that no trial of the sweep could have."""
        for name, (path, axis) in self._sound.items():
            condition = FIELDS[name].only_with
            if condition is None:
                continue
            other, wanted = condition
            known = other in self._sound or not (FIELDS[other].required or other in self._broken)
            if known and not set(self._possible(other)) & set(wanted):
                yield self._problem(
                    path,
                    shown(axis),
                    f"only with {other} = {' or '.join(map(str, wanted))}, which no trial has",
                )

    def _possible(self, name: str) -> Iterator[Any]:
        """All values that a choice field takes anywhere in the sweep."""
        _, axis = self._sound.get(name, (None, FIELDS[name].default))
        leaves = [axis]
        while leaves:
            leaf = leaves.pop()
            leaves += children(leaf).values()
            if not children(leaf):
                yield from listed(leaf)

    def _incomplete_tables(self) -> Iterator[Problem]:
        """Every batch and optimizer needs an entry, and every entry a batch or optimizer."""
        _, axis = self._sound["optimizer"]
        optimizers = listed(axis)
        for name, (path, axis) in self._sound.items():
            field = FIELDS[name]
            having = [o for o in optimizers if field.applies({"optimizer": o})]
            if isinstance(axis, ByOptimizer):
                yield from self._entries(path, "by_optimizer", axis.by_optimizer, having)
                for optimizer, inner in axis.by_optimizer.items():
                    if isinstance(inner, ByBatch) and optimizer in having:
                        at = (*path, "by_optimizer", optimizer)
                        yield from self._entries(
                            at, "by_batch", inner.by_batch, self._batches([optimizer])
                        )
            elif isinstance(axis, ByBatch):
                yield from self._entries(path, "by_batch", axis.by_batch, self._batches(having))

    def _batches(self, optimizers: Collection[Any]) -> list[Any]:
        """Every global batch that these optimizers are run with."""
        if "global_batch" not in self._sound:
            return []
        _, axis = self._sound["global_batch"]
        found: dict[Any, None] = {}
        for optimizer in optimizers:
            if isinstance(axis, ByOptimizer) and optimizer not in axis.by_optimizer:
                continue
            batches = resolve(FIELDS["global_batch"], axis, {"optimizer": optimizer})
            assert isinstance(batches, Choices)
            found |= dict.fromkeys(batches.values)
        return list(found)

    def _entries(
        self, path: Path, key: str, entries: Collection[Any], wanted: Collection[Any]
    ) -> Iterator[Problem]:
        if not wanted:
            return
        for entry in entries:
            if entry not in wanted:
                yield self._problem(
                    (*path, key, str(entry)),
                    f"an entry for {entry}",
                    f"only {_and(wanted)}, as in [space]",
                )
        absent = [value for value in wanted if value not in entries]
        if absent:
            yield self._problem(
                (*path, key), f"no entry for {_and(absent)}", f"one for each of {_and(wanted)}"
            )

    def _nested_though_sampled(self) -> Iterator[Problem]:
        """A sampler draws every dimension by itself, so none may depend on another that varies."""
        for path, axis in self._sound.values():
            for other in sorted(set(depends_on(axis))):
                if other in (self._strata or ()) or other not in self._sound:
                    continue
                if not _is_single(self._sound[other][1]):
                    yield self._problem(
                        path,
                        f"values that depend on {other}",
                        f"in a sampled strategy only with {other} among strategy.strata",
                    )

    def _is_stratum(self, name: str) -> bool:
        return name in (self._strata or ())

    def _problem(self, path: Path, given: str, allowed: str) -> Problem:
        return self._toml.problem(path, given, allowed)


def _is_single(axis: Any) -> bool:
    if isinstance(axis, Quantity):
        return not any(isinstance(value, tuple) for value in axis.given.values())
    return isinstance(axis, bool | int | float | str)


def _rule(field: ScienceField) -> Rule:
    assert field.rule is not None
    return field.rule


def _allowed(rule: Rule, value: object) -> str:
    if rule.choices and isinstance(value, str):
        more = ", or package.module:function" if rule.kind == "model" else ""
        return unknown(value, rule.choices) + more
    return str(rule)


def _and(values: Collection[Any]) -> str:
    return ", ".join(map(str, values))
