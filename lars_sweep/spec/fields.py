"""The fields of a trial that a sweep file may set: where, to what, and what each means."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_type_hints

from lars_sweep.spec.trial import TrialSpec
from lars_sweep.spec.userobject import is_reference

Value = bool | int | float | str
Home = Literal["model", "data", "training", "space"]

MODELS = (
    "alexnet",
    "alexnet_bn",
    "googlenet",
    "googlenet_aux",
    "resnet50",
    "resnet50_v15",
    "small_alexnet",
    "small_alexnet_bn",
    "small_googlenet",
    "small_resnet",
)
DATASETS = ("digits", "fashion-mnist", "synthetic", "cifar10", "cifar100", "imagenet")

_EXACT = 2**53
"""Larger integers are no exact float, the form in which a trial is hashed and tabled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which single values are allowed."""

    kind: Literal["number", "integer", "boolean", "choice", "model"]
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    """The lower end itself is not allowed; the upper end never is unless it is infinite."""
    choices: tuple[str, ...] = ()

    def accepts(self, value: object) -> bool:
        """Whether the value is of the right type and in range."""
        if self.kind == "boolean":
            return isinstance(value, bool)
        if self.kind in ("choice", "model"):
            return value in self.choices or (self.kind == "model" and is_user_object(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if isinstance(value, int) and abs(value) > _EXACT:
            return False
        if self.kind == "integer" and not isinstance(value, int):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return math.isfinite(value) and above and value < self.high

    def __str__(self) -> str:
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "model":
            return f"one of {', '.join(self.choices)}, or package.module:function"
        noun = "an integer" if self.kind == "integer" else "a number"
        low = "" if self.low == -math.inf else f" {'>' if self.open_low else '≥'} {self.low:g}"
        return noun + low + ("" if self.high == math.inf else f" and < {self.high:g}")


def is_user_object(value: object) -> bool:
    """Whether the value names a user's function, ``package.module:function``."""
    return isinstance(value, str) and is_reference(value)


def is_dataset(value: str) -> bool:
    """Whether the value names a data set: built in (``synthetic`` with parameters) or a user's."""
    return value in DATASETS or value.startswith("synthetic:") or is_user_object(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScienceField:
    """One field of a trial as a sweep file knows it. Any of them may be an axis in ``[space]``."""

    name: str
    meaning: str
    rule: Rule | None = None
    """None for a quantity with units."""
    home: Home = "training"
    """The section that holds its single value; the four of ``space`` are always axes."""
    units: Mapping[str, Rule] = field(default_factory=dict)
    """A quantity is written with its unit, as in ``warmup = {epochs = 5}``."""
    only_with: tuple[str, tuple[Value, ...]] | None = None
    """Exists only where another field has one of these values: ``("optimizer", ("lars",))``."""
    lars_default: Value | None = None
    """Its value under LARS if the file is silent; the default of TrialSpec is then None."""
    whole_list: bool = False
    """Its single value is a list, so it can be no axis."""
    stated_values_only: bool = False
    """A continuous range makes no sense: almost no value in it would be allowed."""

    @property
    def default(self) -> Any:
        """The value if the file is silent; None: no value, or required."""
        if self.lars_default is not None or self.units:
            return self.lars_default
        default = _TRIAL_DEFAULTS[self.name]
        return None if default is dataclasses.MISSING else default

    @property
    def required(self) -> bool:
        """Whether a sweep file must set it."""
        return not self.units and _TRIAL_DEFAULTS[self.name] is dataclasses.MISSING

    def applies(self, values: Mapping[str, object]) -> bool:
        """Whether it exists beside these values; unknown counts as yes."""
        if self.only_with is None:
            return True
        other, wanted = self.only_with
        return other not in values or values[other] in wanted


def place(name: str) -> tuple[str, str]:
    """Where a sweep file says the single value of a field."""
    home = FIELDS[name].home
    return home, "name" if name == "model" else name


_TRIAL_DEFAULTS: dict[str, object] = {f.name: f.default for f in dataclasses.fields(TrialSpec)}
_TRIAL_HINTS = get_type_hints(TrialSpec)


def _choice(name: str) -> Rule:
    """The rule of a field of Literal type, from TrialSpec itself."""
    hint = _TRIAL_HINTS[name]
    literals = [h for h in (hint, *get_args(hint)) if get_args(h) and h is not type(None)]
    options = get_args(literals[-1])
    return Rule(kind="choice", choices=tuple(option for option in options if option is not None))


_POSITIVE = Rule(kind="number", low=0, open_low=True)
_NOT_NEGATIVE = Rule(kind="number", low=0)
_SHARE = Rule(kind="number", low=0, high=1)
_COUNT = Rule(kind="integer", low=1)
_BOOLEAN = Rule(kind="boolean")
_LARS = ("optimizer", ("lars",))
_MOMENTUM_METHODS = ("optimizer", ("sgd", "lars"))

# In the order in which a grid nests them: what others depend on comes first.
FIELDS: Mapping[str, ScienceField] = {
    f.name: f
    for f in (
        ScienceField(
            name="model",
            home="model",
            rule=Rule(kind="model", choices=MODELS),
            meaning="network; `[model] name` for a single one",
        ),
        ScienceField(
            name="optimizer",
            home="space",
            rule=_choice("optimizer"),
            meaning="optimizer",
        ),
        ScienceField(
            name="global_batch",
            home="space",
            rule=_COUNT,
            stated_values_only=True,
            meaning="B, samples of one optimizer step; a multiple of `bn_batch`, at most N",
        ),
        ScienceField(
            name="epochs",
            home="space",
            rule=_POSITIVE,
            meaning="E, passes over the training part; S = ceil(E·N/B) steps",
        ),
        ScienceField(
            name="init",
            home="model",
            rule=_choice("init"),
            meaning="initial weights: the paper's fillers or He's",
        ),
        ScienceField(
            name="augmentation",
            home="data",
            rule=_choice("augmentation"),
            meaning="augmentation of training images",
        ),
        ScienceField(
            name="schedule",
            rule=_choice("schedule"),
            meaning="decay of the LR after warm-up",
        ),
        ScienceField(
            name="exclusions",
            rule=_choice("exclusions"),
            meaning="parameters without local rate and weight decay",
        ),
        ScienceField(
            name="base_lr",
            home="space",
            rule=_POSITIVE,
            meaning="nominal LR γ0, the peak of the schedule; may be coupled to the batch",
        ),
        ScienceField(
            name="trust_coefficient",
            rule=_POSITIVE,
            only_with=_LARS,
            lars_default=0.001,
            meaning="η of LARS",
        ),
        ScienceField(
            name="warmup",
            units={
                "epochs": _NOT_NEGATIVE,
                "steps": Rule(kind="integer", low=0),
                "share": _SHARE,
            },
            meaning="length of the linear warm-up, as a share of the run or in epochs or steps",
        ),
        ScienceField(
            name="warmup_start",
            units={"share": _SHARE, "lr": _NOT_NEGATIVE},
            meaning="LR at step 0 of the warm-up, as a share of the peak or as an LR",
        ),
        ScienceField(
            name="bn_batch",
            rule=_COUNT,
            stated_values_only=True,
            meaning="samples of one BatchNorm group (ghost batch)",
        ),
        ScienceField(
            name="momentum",
            rule=_SHARE,
            meaning="momentum m (β1 of adamw and lamb)",
        ),
        ScienceField(
            name="momentum_form",
            rule=_choice("momentum_form"),
            only_with=_MOMENTUM_METHODS,
            meaning="whether the LR enters the momentum buffer (Caffe, the paper) or not (PyTorch)",
        ),
        ScienceField(
            name="nesterov",
            rule=_BOOLEAN,
            only_with=_MOMENTUM_METHODS,
            meaning="Nesterov momentum",
        ),
        ScienceField(
            name="weight_decay",
            rule=_NOT_NEGATIVE,
            meaning="weight decay β",
        ),
        ScienceField(
            name="lr_excluded",
            rule=_NOT_NEGATIVE,
            only_with=("exclusions", ("bias_bn",)),
            meaning="peak LR of excluded parameters; silent: the base LR",
        ),
        ScienceField(
            name="lars_variant",
            rule=_choice("lars_variant"),
            only_with=_LARS,
            lars_default="paper",
            meaning="formula of the local rate",
        ),
        ScienceField(
            name="granularity",
            rule=_choice("granularity"),
            only_with=_LARS,
            lars_default="layer",
            meaning="what shares one local rate",
        ),
        ScienceField(
            name="zero_norm",
            rule=_choice("zero_norm"),
            only_with=_LARS,
            lars_default="one",
            meaning="local rate of a layer whose weight or gradient norm is 0",
        ),
        ScienceField(
            name="power",
            rule=_POSITIVE,
            only_with=("schedule", ("poly",)),
            meaning="exponent of the polynomial decay",
        ),
        ScienceField(
            name="poly_origin",
            rule=_choice("poly_origin"),
            only_with=("schedule", ("poly",)),
            meaning="where poly counts from: step 0 (Caffe) or the end of the warm-up (MLPerf)",
        ),
        ScienceField(
            name="milestones",
            rule=Rule(kind="number", low=0, open_low=True, high=1),
            only_with=("schedule", ("step",)),
            whole_list=True,
            meaning="shares of the run, increasing, at which the step schedule cuts the LR",
        ),
        ScienceField(
            name="step_factor",
            rule=Rule(kind="number", low=0, open_low=True, high=1),
            only_with=("schedule", ("step",)),
            meaning="what the step schedule multiplies the LR by at each milestone",
        ),
        ScienceField(
            name="evaluations",
            rule=_COUNT,
            meaning="K evaluation points, at steps ceil(k·S/K)",
        ),
        ScienceField(
            name="bn_eval",
            rule=_choice("bn_eval"),
            meaning="BatchNorm statistics in evaluations",
        ),
        ScienceField(
            name="precision",
            rule=_choice("precision"),
            meaning="arithmetic of training",
        ),
    )
}
