"""The sweep file: one TOML file, one question."""

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    model_validator,
)

from lars_sweep.spec.axes import Axis
from lars_sweep.spec.checks import AxisChecks, field_at
from lars_sweep.spec.fields import DATASETS, FIELDS, is_dataset, place
from lars_sweep.spec.noise import NoisePlan
from lars_sweep.spec.trial import Protocol, canonical
from lars_sweep.tomlfile import Path, TomlFile

IMAGENET_VAL_SHARE = 50_000 / 1_281_167
DEFAULT_STRATA = ("model", "optimizer", "global_batch", "epochs")
FEWEST_MEASUREMENTS = 5
"""Of the noise scale: fewer give no interval (lars_sweep.fit.noise_scale)."""
ADAPTIVE = ("tpe", "gp")
"""Strategies whose points an Optuna sampler draws as results come."""


class Section(BaseModel):
    """A table of the sweep file."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def _path_safe(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name):
        raise ValueError("at most 64 lower-case letters, digits, - and _, beginning with no sign")
    return name


class Header(Section):
    """The keys above the first table."""

    name: Annotated[str, AfterValidator(_path_safe)]
    """Lower-case letters, digits, ``-`` and ``_``; begins the names of its studies."""
    question: str = ""
    """What the sweep is to answer; heads the report."""
    version: Literal[1] = 1
    """Of the file format."""


class ModelSection(Section):
    """The network."""

    name: str | None = None
    """A built-in network or ``package.module:function``; or as an axis, ``space.model``."""
    init: str | None = None
    """Initial weights, ``paper`` (the default) or ``he``."""


def _known_dataset(name: str) -> str:
    if not is_dataset(name):
        raise ValueError(f"one of {', '.join(DATASETS)}, or package.module:function")
    return name


class DataSection(Section):
    """The data set. Where its files lie is no part of the question."""

    name: Annotated[str, AfterValidator(_known_dataset)]
    """A built-in data set or ``package.module:function``."""
    augmentation: str | None = None
    """Of training images: ``none`` (the default), ``minimal`` or ``extended``."""


def _pruner_class(name: str) -> str:
    if not name.endswith("Pruner"):
        raise ValueError("the name of an Optuna class, as in MedianPruner")
    return name


class Pruner(BaseModel):
    """An Optuna pruner by its class name; every other key is an argument of it."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="allow", use_attribute_docstrings=True
    )
    __pydantic_extra__: dict[str, JsonValue]

    name: Annotated[str, AfterValidator(_pruner_class)]
    """As in ``MedianPruner``."""

    @property
    def options(self) -> dict[str, JsonValue]:
        """Arguments of the class."""
        return dict(self.__pydantic_extra__)


class StrategySection(Section):
    """Which points are tried."""

    kind: Literal["grid", "random", "qmc", "tpe", "gp"] = "grid"
    """grid: every combination. random, qmc: drawn by ``plan``. tpe, gp: asked as results come."""
    n_points: Annotated[int, Field(ge=1)] | None = None
    """Points per stratum, for every kind but grid. Each point is run with every seed."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the sampler; no trial's."""
    strata: tuple[str, ...] = DEFAULT_STRATA
    """Fields whose values never compete: each combination is an Optuna study of its own."""
    pruner: Pruner | None = None
    """Optuna pruner, as in ``{name = "MedianPruner", n_warmup_steps = 5}``; none by default."""
    sampler: dict[str, JsonValue] = Field(default_factory=dict)
    """Arguments of Optuna's sampler of tpe or gp, as in ``{n_startup_trials = 20}``."""

    @model_validator(mode="after")
    def _n_points_if_sampled(self) -> "StrategySection":
        if self.kind == "grid" and self.n_points is not None:
            raise ValueError(
                "n_points only for random, qmc, tpe and gp; a grid has as many as it has"
            )
        if self.sampler and self.kind not in ADAPTIVE:
            raise ValueError("sampler only for tpe and gp; plan draws the points of the others")
        if self.kind != "grid" and self.n_points is None:
            raise ValueError(f"n_points, the number of points per stratum, for kind {self.kind}")
        return self


class SeedsSection(Section):
    """Replicates of every point."""

    count: Annotated[int, Field(ge=1)] | None = None
    """Seeds 0 … count − 1; default 3."""
    list: tuple[Annotated[int, Field(ge=0, lt=2**48)], ...] | None = None
    """The seeds themselves instead of their count, as for confirmation with fresh ones."""
    paired: bool = False
    """false: each point derives random numbers of its own from a seed, so points are independent.
    true: a seed gives the same random numbers at every point, to be analysed by blocks."""

    @model_validator(mode="after")
    def _one_way(self) -> "SeedsSection":
        if self.list is not None:
            if self.count is not None:
                raise ValueError("either count or list")
            if not self.list or len(set(self.list)) < len(self.list):
                raise ValueError("at least one seed in list, each once")
        return self

    @property
    def number(self) -> int:
        """How many seeds every point has."""
        if self.list is not None:
            return len(self.list)
        return 3 if self.count is None else self.count

    @property
    def values(self) -> tuple[int, ...]:
        """The seeds of every point."""
        return tuple(range(self.number)) if self.list is None else self.list


class BudgetSection(Section):
    """What ``launch`` refuses to exceed."""

    trials: Annotated[int, Field(ge=1)] | None = None
    """Most trials."""
    device_hours: Annotated[float, Field(gt=0)] | None = None
    """Most device-hours, reckoned with ``images_per_s``."""
    images_per_s: Annotated[float, Field(gt=0)] | None = None
    """Training throughput of one device."""

    @model_validator(mode="after")
    def _reckonable(self) -> "BudgetSection":
        if self.device_hours is not None and self.images_per_s is None:
            raise ValueError("device_hours together with images_per_s")
        return self


class ProtocolSection(Section):
    """What is chosen and reported on which part of the data."""

    name: Protocol = "held_out"
    """held_out: choose on val, report on test. paper: train on all, choose and report on test."""
    val_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the training set held out; default 1/6, for imagenet 50,000 images."""
    delta: Annotated[float, Field(gt=0)] = 0.5
    """Accuracy points below the best that are still inside an LR interval."""

    @model_validator(mode="after")
    def _nothing_held_out_in_paper(self) -> "ProtocolSection":
        if self.name == "paper" and self.val_share is not None:
            raise ValueError("val_share only with name = held_out; paper holds nothing out")
        return self


class NoiseScaleSection(Section):
    """With this table, empty or not, the gradient noise scale is measured; no field of a trial."""

    evaluations: Annotated[int, Field(ge=1)] = 4
    """Evaluation points of each trial at which it is measured, evenly spaced, the last one too."""
    measurements: Annotated[int, Field(ge=FEWEST_MEASUREMENTS)] = 20
    """At each of these points; every one costs the images of a step."""

    @property
    def plan(self) -> NoisePlan:
        """As a trainer takes it."""
        return NoisePlan(measurements=self.measurements, evaluations=self.evaluations)


class Origin(Section):
    """Where a sweep was read from; no part of its content."""

    file: str = "sweep"
    text: str = ""
    overrides: tuple[str, ...] = ()


class SweepSpec(Header):
    """A checked sweep file; `load_sweep` makes one, with every problem of the file at once."""

    model: ModelSection = ModelSection()
    data: DataSection
    training: dict[str, Axis] = Field(default_factory=dict)
    """Fields of the trial with a single value."""
    space: dict[str, Axis]
    """Fields of the trial as axes."""
    strategy: StrategySection = StrategySection()
    seeds: SeedsSection = SeedsSection()
    budget: BudgetSection = BudgetSection()
    protocol: ProtocolSection = ProtocolSection()
    noise_scale: NoiseScaleSection | None = None
    origin: Origin = Origin()

    @model_validator(mode="after")
    def _checked(self) -> "SweepSpec":
        sampled = self.strategy.kind != "grid"
        checks = AxisChecks(self.placed, self.strategy.strata, sampled, self.toml)
        if problems := list(checks.problems()):
            raise ValueError("\n".join(map(str, problems)))
        return self

    @cached_property
    def placed(self) -> dict[Path, Any]:
        """Every axis that the file gives, by its place in the file."""
        single = {
            ("model", "name"): self.model.name,
            ("model", "init"): self.model.init,
            ("data", "augmentation"): self.data.augmentation,
        }
        placed: dict[Path, Any] = {
            path: value for path, value in single.items() if value is not None
        }
        placed |= {("training", name): axis for name, axis in self.training.items()}
        return placed | {("space", name): axis for name, axis in self.space.items()}

    @cached_property
    def axes(self) -> Mapping[str, Any]:
        """Every field that has a value, in the order of FIELDS, with defaults filled in."""
        given = {field_at(path): axis for path, axis in self.placed.items()}
        defaults = {name: field.default for name, field in FIELDS.items()}
        merged = {name: given.get(name, default) for name, default in defaults.items()}
        return {name: axis for name, axis in merged.items() if axis is not None}

    @property
    def toml(self) -> TomlFile:
        """The file, for problems that only show later."""
        return TomlFile(self.origin.file, self.origin.text, self.origin.overrides)

    @property
    def val_share(self) -> float:
        """Share of the training set that is held out, 0 in the paper protocol."""
        if self.protocol.name == "paper":
            return 0.0
        if self.protocol.val_share is not None:
            return self.protocol.val_share
        return IMAGENET_VAL_SHARE if self.data.name == "imagenet" else 1 / 6

    @property
    def spec_hash(self) -> str:
        """sha256 of the content with defaults filled in; layout and order of keys do not count."""
        content = self.model_dump(mode="json", exclude={"origin", "model", "training", "space"})
        content["axes"] = _AXES.dump_python(dict(self.axes), mode="json")
        content["seeds"] = [self.seeds.paired, *self.seeds.values]
        content["strategy"]["strata"] = sorted(self.strategy.strata)
        content["protocol"]["val_share"] = self.val_share
        if self.noise_scale is None:  # as before there was such a table
            del content["noise_scale"]
        text = json.dumps(canonical(content), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def place(self, name: str) -> Path:
        """Where the file gives a field, or would."""
        given = {field_at(path): path for path in self.placed}
        return given.get(name, place(name))


_AXES: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Axis])
