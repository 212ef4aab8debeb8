"""From a TOML file to a sweep, with every problem of the file at once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lars_sweep.errors import Problem, SpecError
from lars_sweep.spec.axes import AXIS, FORMS
from lars_sweep.spec.checks import AxisChecks, field_at
from lars_sweep.spec.fields import FIELDS
from lars_sweep.spec.sweep import (
    DEFAULT_STRATA,
    BudgetSection,
    DataSection,
    Header,
    ModelSection,
    NoiseScaleSection,
    Origin,
    ProtocolSection,
    Section,
    SeedsSection,
    StrategySection,
    SweepSpec,
)
from lars_sweep.tomlfile import Path, TomlFile, plain, read_toml, shown, unknown, wanted

SECTIONS: Mapping[str, type[Section]] = {
    "model": ModelSection,
    "data": DataSection,
    "strategy": StrategySection,
    "seeds": SeedsSection,
    "budget": BudgetSection,
    "protocol": ProtocolSection,
    "noise_scale": NoiseScaleSection,
}
AXIS_SECTIONS = ("training", "space")


def load_sweep(path: FilePath, overrides: Sequence[str] = ()) -> SweepSpec:
    """Read and check a sweep file.

    Args:
        path: the TOML file.
        overrides: values of ``--set``, ``key=value`` with the value in TOML syntax or a bare
            string, applied in order.

    Raises:
        SpecError: everything that is wrong with the file and the overrides.
    """
    text = read_toml(path, "sweep file")
    toml = TomlFile(str(path), text, tuple(overrides))
    reading = _Reading(toml)
    if reading.problems:
        in_order = sorted(reading.problems, key=lambda problem: problem.line or 0)
        raise SpecError(list(dict.fromkeys(in_order)))
    origin = Origin(file=toml.name, text=text, overrides=toml.overrides)
    return SweepSpec.model_validate_json(
        json.dumps({**plain(toml.content), "origin": origin.model_dump()})
    )


class _Reading:
    """Validates each part of a file by itself, so that one bad part hides no other."""

    def __init__(self, toml: TomlFile) -> None:
        self._toml = toml
        self._content = plain(toml.content)
        self.problems: list[Problem] = []
        self._unknown_sections()
        header = {key: self._content[key] for key in Header.model_fields if key in self._content}
        self._section(Header, header, ())
        for name, kind in SECTIONS.items():
            self._section(kind, self._content.get(name, {}), (name,))
        self._check_axes()

    def _unknown_sections(self) -> None:
        known = [*Header.model_fields, *AXIS_SECTIONS, *SECTIONS]
        for key in self._content:
            if key not in known:
                self._add((key,), f"unknown key {key!r}", unknown(key, known))

    def _section(self, kind: type[Section], value: Any, path: Path) -> None:
        try:
            kind.model_validate_json(json.dumps(value))
        except ValidationError as error:
            self._add_all(error, path, kind)

    def _check_axes(self) -> None:
        placed: dict[Path, Any] = {}
        broken = set()
        for path, given in self._given_axes():
            # AxisChecks says that a field is unknown; its form does not matter then.
            axis, whole = self._axis(path, given) if field_at(path) in FIELDS else (given, False)
            if axis is not None:
                placed[path] = axis
            if not whole:
                broken.add(field_at(path))
        strategy = self._table("strategy")
        strata = strategy.get("strata", DEFAULT_STRATA)
        known = isinstance(strata, list | tuple) and all(isinstance(name, str) for name in strata)
        checks = AxisChecks(
            placed,
            tuple(strata) if known else (),
            strategy.get("kind", "grid") != "grid",
            self._toml,
            broken,
        )
        self.problems.extend(checks.problems())

    def _given_axes(self) -> Iterator[tuple[Path, Any]]:
        for section, name in (("model", "name"), ("model", "init"), ("data", "augmentation")):
            value = self._table(section).get(name)
            if isinstance(value, str):
                yield (section, name), value
        for section in AXIS_SECTIONS:
            if not isinstance(self._content.get(section, {}), dict):
                self._add((section,), shown(self._content[section]), f"a table, [{section}]")
            for name, axis in self._table(section).items():
                yield (section, name), axis

    def _axis(self, path: Path, given: Any) -> tuple[Any, bool]:
        """The axis without its malformed parts, or None, and whether nothing had to go."""
        try:
            return AXIS.validate_json(json.dumps(given)), True
        except ValidationError as error:
            self._add_all(error, path, None)
            rest = json.loads(json.dumps(given))
            for details in error.errors():
                _remove(rest, [part for part in details["loc"] if not _is_tag(part)])
        try:
            return AXIS.validate_json(json.dumps(rest)), False
        except ValidationError:
            return None, False

    def _table(self, section: str) -> dict[str, Any]:
        table = self._content.get(section)
        return table if isinstance(table, dict) else {}

    def _add_all(self, error: ValidationError, path: Path, kind: type[BaseModel] | None) -> None:
        for details in error.errors(include_url=False):
            at = (*path, *(part for part in details["loc"] if not _is_tag(part)))
            self._add(at, *_given_and_allowed(details, kind))

    def _add(self, path: Path, given: str, allowed: str) -> None:
        self.problems.append(self._toml.problem(path, given, allowed))


def _remove(content: Any, path: Sequence[str | int]) -> None:
    """Take the item at a path out of nested tables, if it is there."""
    for part in path[:-1]:
        content = content.get(part) if isinstance(content, dict) else None
    if path and isinstance(content, dict):
        content.pop(str(path[-1]), None)


_TAGS = {*FORMS, "<value>", "<list>", "bool", "int", "float", "str", "[key]"}


def _is_tag(part: str | int) -> bool:
    """Whether a part of an error's place names a form or a type and not a key of the file."""
    return part in _TAGS


def _given_and_allowed(details: ErrorDetails, kind: type[BaseModel] | None) -> tuple[str, str]:
    loc = details["loc"]
    if details["type"] == "missing":
        return "nothing", "a value; required"
    if details["type"] == "extra_forbidden":
        form = next((FORMS[str(part)] for part in reversed(loc) if part in FORMS), kind)
        key = str(loc[-1])
        return f"unknown key {key!r}", unknown(key, form.model_fields if form else ())
    return shown(details["input"]), wanted(details["type"], details["msg"])
