"""What must hold of one axis of a sweep file, whatever the others are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
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
    listed,
    resolve,
)
from lars_sweep.spec.fields import Rule, ScienceField
from lars_sweep.tomlfile import Path, TomlFile, shown, unknown

# What the fields that every other one may depend on may depend on themselves.
_TABLES_OF = {"model": (), "optimizer": (), "global_batch": ("by_optimizer",)}
_TABLES = ("by_optimizer", "by_batch")


def is_single(axis: Any) -> bool:
    """Whether the axis is one value, the same for every optimizer and batch."""
    if isinstance(axis, Quantity):
        return not any(isinstance(value, tuple) for value in axis.given.values())
    return isinstance(axis, bool | int | float | str)


@dataclass(frozen=True)
class AxisCheck:
    """Checks the axis of one field."""

    field: ScienceField
    enumerated: bool
    """Whether its values are listed by a plan; else a sampler draws from its ranges."""
    toml: TomlFile

    def problems(self, path: Path, axis: Any, inside: str = "") -> Iterator[Problem]:
        """All that is wrong with the axis.

        Args:
            path: its place in the file.
            axis: of the right form (lars_sweep.spec.axes.Axis).
            inside: the kind of table that holds it, if any.
        """
        if isinstance(axis, ByOptimizer | ByBatch):
            yield from self._table(path, axis, inside)
        elif isinstance(axis, Quantity) or self.field.units:
            yield from self._quantity(path, axis)
        elif isinstance(axis, Coupled):
            yield from self._coupled(path, axis)
        elif isinstance(axis, LogRange | LinearRange):
            yield from self._range(path, axis)
        else:
            yield from self._values(self._rule, path, axis)

    def whole_list(self, path: Path, axis: Any) -> Iterator[Problem]:
        """All that is wrong with a value that is a list."""
        if not isinstance(axis, tuple):
            yield self.toml.problem(path, shown(axis), f"a list, each {self._rule}")
            return
        found = list(self._values(self._rule, path, axis))
        yield from found
        if not found and list(axis) != sorted(axis):
            yield self.toml.problem(path, shown(axis), "increasing values")

    def _table(self, path: Path, axis: ByOptimizer | ByBatch, inside: str) -> Iterator[Problem]:
        key = "by_optimizer" if isinstance(axis, ByOptimizer) else "by_batch"
        possible = _TABLES_OF.get(self.field.name, _TABLES)
        allowed = possible if not inside else possible[possible.index(inside) + 1 :]
        if key not in allowed:
            within = f" inside {inside}" if inside else f" for {self.field.name}"
            yield self.toml.problem(path, key + within, " or ".join(allowed) or f"no table{within}")
            return
        if not children(axis):
            yield self.toml.problem((*path, key), "an empty table", "at least one entry")
        for entry, inner in children(axis).items():
            yield from self.problems((*path, key, entry), inner, key)

    def _quantity(self, path: Path, axis: Any) -> Iterator[Problem]:
        units = " or ".join(f"{{{unit} = …}}" for unit in self.field.units)
        if not self.field.units:
            yield self.toml.problem(path, shown(axis), f"{self._rule}, without a unit")
        elif not isinstance(axis, Quantity) or set(axis.given) - set(self.field.units):
            yield self.toml.problem(path, shown(axis), f"{units}, with one value or a list")
        elif len(axis.given) != 1:
            yield self.toml.problem(path, shown(axis), f"exactly one of {units}")
        else:
            ((unit, given),) = axis.given.items()
            yield from self._values(self.field.units[unit], (*path, unit), given)

    def _coupled(self, path: Path, axis: Coupled) -> Iterator[Problem]:
        if self.field.name != "base_lr":
            yield self.toml.problem(path, "a coupling to the batch", f"{self._rule}; only base_lr")
            return
        yield from self._values(Rule(kind="integer", low=1), (*path, "from_batch"), axis.from_batch)
        yield from self._values(self._rule, (*path, "from_lr"), axis.from_lr)
        yield from self.problems((*path, "times"), axis.times)

    def _range(self, path: Path, axis: LogRange | LinearRange) -> Iterator[Problem]:
        rule = self._rule
        if rule.kind not in ("number", "integer"):
            yield self.toml.problem(path, "a range", str(rule))
            return
        if isinstance(axis, LogRange):
            key, ends = "log", axis.log
            low, open_low = max(0.0, rule.low), rule.low <= 0
        else:
            key, ends = "linear", axis.linear
            low, open_low = rule.low, rule.open_low
        end_rule = Rule(kind="number", low=low, open_low=open_low, high=rule.high)
        wrong = [index for index, end in enumerate(ends) if not end_rule.accepts(end)]
        for index in wrong:
            yield self.toml.problem((*path, key, index), shown(ends[index]), str(end_rule))
        if not wrong and not ends[0] < ends[1]:
            yield self.toml.problem((*path, key), shown(ends), "low < high")
        elif not wrong:
            yield from self._points((*path, "points"), axis)

    def _points(self, path: Path, axis: LogRange | LinearRange) -> Iterator[Problem]:
        if axis.points is None:
            if self.enumerated:
                allowed = f"an integer ≥ 2: the values of {self.field.name} are enumerated"
                yield self.toml.problem(path, "nothing", allowed)
        elif not self.enumerated:
            allowed = "no points: a sampler draws from the range; else give a list"
            yield self.toml.problem(path, shown(axis.points), allowed)
        elif axis.points < 2:
            yield self.toml.problem(path, shown(axis.points), "an integer ≥ 2")
        elif self._rule.kind == "integer":
            dimension = resolve(self.field, axis, {})
            assert isinstance(dimension, Choices)
            distinct = len(set(dimension.values))
            if distinct < axis.points:
                yield self.toml.problem(
                    path, shown(axis.points), f"at most {distinct} whole numbers"
                )

    def _values(self, rule: Rule, path: Path, given: Any) -> Iterator[Problem]:
        values = listed(given)
        if not values:
            yield self.toml.problem(path, "an empty list", f"at least one value, each {rule}")
        for index, value in enumerate(values):
            at = (*path, index) if isinstance(given, tuple) else path
            if not rule.accepts(value):
                yield self.toml.problem(at, shown(value), _allowed(rule, value))
            elif value in values[:index]:
                yield self.toml.problem(at, f"{shown(value)} again", "each value once")

    @property
    def _rule(self) -> Rule:
        assert self.field.rule is not None, f"{self.field.name} is a quantity"
        return self.field.rule


def _allowed(rule: Rule, value: object) -> str:
    if rule.choices and isinstance(value, str):
        more = ", or package.module:function" if rule.kind == "model" else ""
        return unknown(value, rule.choices) + more
    return str(rule)
