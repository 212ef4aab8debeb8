"""The forms of an axis in a sweep file, and its values for one optimizer and batch."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, TypeAdapter

from lars_sweep.spec.fields import ScienceField, Value
from lars_sweep.spec.trial import Optimizer
from lars_sweep.tomlfile import shown

SIGNIFICANT_DIGITS = 6
"""Values computed from a range or a coupling are rounded to this many digits: ``pow`` differs in
its last bits between C libraries, and a trial_id must not."""


class Form(BaseModel):
    """A table that says how the values of an axis come about."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    def __str__(self) -> str:
        """The table as the file has it."""
        return shown(self.model_dump(mode="json", exclude_unset=True))


class LogRange(Form):
    """``{log = [low, high], points = n}``: n values, evenly spaced in the logarithm."""

    log: tuple[float, float]
    """Both ends, each > 0, low first."""
    points: int | None = None
    """Number of values, ends included; not for sampled strategies, which draw from the range."""


class LinearRange(Form):
    """``{linear = [low, high], points = n}``: n values, evenly spaced."""

    linear: tuple[float, float]
    """Both ends, low first."""
    points: int | None = None
    """As for ``log``."""


class Coupled(Form):
    """``{scale = "sqrt", from_batch = 256, from_lr = 0.1, times = [0.5, 1, 2]}``: base_lr only.

    γ0 = from_lr · (B / from_batch)^p · times with p = 1 (linear) or 1/2 (sqrt).
    """

    scale: Literal["linear", "sqrt"]
    """How the LR grows with the batch."""
    from_batch: int
    """The batch at which ``from_lr`` holds."""
    from_lr: float
    """The LR at ``from_batch``."""
    times: Value | tuple[Value, ...] | LogRange | LinearRange = 1
    """Factors on the scaled LR: a value, a list or a range."""

    def factor(self, global_batch: int) -> float:
        """The scaled LR at a batch, before ``times``."""
        ratio = global_batch / self.from_batch
        return self.from_lr * (ratio if self.scale == "linear" else math.sqrt(ratio))


class Quantity(Form):
    """``{epochs = 5}``: a value or a list with its unit, epochs, steps, share or lr."""

    epochs: Value | tuple[Value, ...] | None = None
    """Passes over the training part."""
    steps: Value | tuple[Value, ...] | None = None
    """Optimizer steps."""
    share: Value | tuple[Value, ...] | None = None
    """Of the run (warmup) or of the peak LR (warmup_start)."""
    lr: Value | tuple[Value, ...] | None = None
    """A learning rate."""

    @property
    def given(self) -> dict[str, Value | tuple[Value, ...]]:
        """The units that are set; one in a valid file."""
        return {unit: value for unit, value in self if value is not None}


class ByBatch(Form):
    """``{by_batch = {512 = 2, 4096 = [8, 10]}}``: an axis of its own for each global batch."""

    by_batch: dict[int, "Axis"]
    """One entry for each global batch of the sweep."""


class ByOptimizer(Form):
    """``{by_optimizer = {sgd = 0.1, lars = 5}}``: an axis of its own for each optimizer."""

    by_optimizer: dict[Optimizer, "Axis"]
    """One entry for each optimizer of the sweep, or for those that have the field at all."""


FORMS: Mapping[str, type[Form]] = {
    "<log>": LogRange,
    "<linear>": LinearRange,
    "<coupled>": Coupled,
    "<quantity>": Quantity,
    "<by_batch>": ByBatch,
    "<by_optimizer>": ByOptimizer,
}
_FORM_KEYS = {
    "log": "<log>",
    "linear": "<linear>",
    "scale": "<coupled>",
    "by_batch": "<by_batch>",
    "by_optimizer": "<by_optimizer>",
    **dict.fromkeys(Quantity.model_fields, "<quantity>"),
}


def _form(axis: object) -> str | None:
    """Which form is meant: a table is known by the key that only it has."""
    for tag, form in FORMS.items():
        if isinstance(axis, form):
            return tag
    if isinstance(axis, Mapping):
        return next((_FORM_KEYS[key] for key in axis if key in _FORM_KEYS), None)
    return "<list>" if isinstance(axis, list | tuple) else "<value>"


Axis = Annotated[
    Annotated[Value, Tag("<value>")]
    | Annotated[tuple[Value, ...], Tag("<list>")]
    | Annotated[LogRange, Tag("<log>")]
    | Annotated[LinearRange, Tag("<linear>")]
    | Annotated[Coupled, Tag("<coupled>")]
    | Annotated[Quantity, Tag("<quantity>")]
    | Annotated[ByBatch, Tag("<by_batch>")]
    | Annotated[ByOptimizer, Tag("<by_optimizer>")],
    Discriminator(
        _form,
        custom_error_type="axis_form",
        custom_error_message="a value, a list, or a table with " + ", ".join(_FORM_KEYS),
    ),
]
ByBatch.model_rebuild()
ByOptimizer.model_rebuild()


@dataclass(frozen=True, slots=True)
class Choices:
    """A dimension with stated values."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A dimension from which a sampler draws, both ends included."""

    name: str
    low: float
    high: float
    log: bool
    integer: bool


Dimension = Choices | Range


AXIS: TypeAdapter[Any] = TypeAdapter(Axis, config=ConfigDict(strict=True))
"""Validates one axis on its own."""


def children(axis: Any) -> Mapping[str, Any]:
    """The axes inside a ``by_batch`` or ``by_optimizer`` table, by the key in the file."""
    if isinstance(axis, ByBatch):
        return {str(batch): inner for batch, inner in axis.by_batch.items()}
    if isinstance(axis, ByOptimizer):
        return {str(optimizer): inner for optimizer, inner in axis.by_optimizer.items()}
    return {}


def depends_on(axis: Any) -> Iterator[str]:
    """The fields that must be known before the axis has values."""
    if isinstance(axis, ByBatch | Coupled):
        yield "global_batch"
    if isinstance(axis, ByOptimizer):
        yield "optimizer"
    for inner in children(axis).values():
        yield from depends_on(inner)


def resolve(field: ScienceField, axis: Any, values: Mapping[str, Any]) -> Dimension:
    """The dimension that an axis comes to.

    Args:
        field: the field that the axis is about.
        axis: a checked Axis.
        values: of the fields that the axis depends on.
    """
    if isinstance(axis, ByOptimizer):
        return resolve(field, axis.by_optimizer[values["optimizer"]], values)
    if isinstance(axis, ByBatch):
        return resolve(field, axis.by_batch[values["global_batch"]], values)
    if isinstance(axis, Coupled):
        return _scaled(field, axis.times, axis.factor(values["global_batch"]))
    if isinstance(axis, Quantity):
        ((unit, given),) = axis.given.items()
        return Choices(f"{field.name}_{unit}", _typed(listed(given), field.units[unit].kind))
    if field.whole_list:
        return Choices(field.name, (_typed(axis, "number"),))
    return _scaled(field, axis, None)


def _scaled(field: ScienceField, axis: Any, factor: float | None) -> Dimension:
    kind = field.rule.kind if field.rule else "number"
    if isinstance(axis, LogRange | LinearRange):
        low, high = axis.log if isinstance(axis, LogRange) else axis.linear
        if factor is not None:
            low, high = _rounded(low * factor), _rounded(high * factor)
        log = isinstance(axis, LogRange)
        if axis.points is None:
            return Range(field.name, low, high, log, kind == "integer")
        return Choices(field.name, _typed(_spaced(low, high, axis.points, log), kind))
    values = listed(axis)
    if factor is not None:
        values = tuple(_rounded(cast(float, value) * factor) for value in values)
    return Choices(field.name, _typed(values, kind))


def _spaced(low: float, high: float, points: int, log: bool) -> tuple[float, ...]:
    shares = (i / (points - 1) for i in range(1, points - 1))
    inner = (low * (high / low) ** s if log else low + (high - low) * s for s in shares)
    return (low, *map(_rounded, inner), high)


def listed(given: Any) -> tuple[Any, ...]:
    """A list as it is, a single value as a list of one."""
    return given if isinstance(given, tuple) else (given,)


def _typed(values: tuple[Value, ...], kind: str) -> tuple[Value, ...]:
    """Numbers as floats, integers as the nearest int, all else as it is."""
    if kind == "number":
        return tuple(float(value) for value in values)
    return tuple(round(cast(float, v)) for v in values) if kind == "integer" else values


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")
