"""One trial: a point of the search space with one seed, and the hash that names it."""

from __future__ import annotations

import hashlib
import json
import math
import operator
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

SCIENCE_VERSION = 1
"""Raised when the same fields come to mean another computation."""

Optimizer = Literal["sgd", "lars", "adamw", "lamb"]
Protocol = Literal["held_out", "paper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSpec:
    """Everything that decides what a trial computes, fully resolved.

    Nothing about where or how fast it runs (partition, GPU count, micro-batch) belongs here.
    """

    model: str
    """A built-in network or ``package.module:function``."""
    model_source: str | None = None
    """sha256 of the user's module for ``package.module:function``; None for built-in networks."""
    init: Literal["paper", "he"] = "paper"
    dataset: str
    data_id: str
    """Content id of the data set (lars_sweep.data)."""
    samples: int
    """Size N of the training part, after the validation part is taken out."""
    protocol: Protocol = "held_out"
    """held_out: choose on val, report on test. paper: train on all, choose and report on test."""
    val_share: float = 1 / 6
    augmentation: Literal["none", "minimal", "extended"] = "none"

    optimizer: Optimizer
    lars_variant: Literal["paper", "no_decay_in_norm", "clip"] | None = None
    """Local-rate formula; None unless LARS."""
    granularity: Literal["layer", "network", "frozen"] | None = None
    """What shares one local rate; None unless LARS."""
    zero_norm: Literal["one", "zero"] | None = None
    """Local rate of a layer whose weight or gradient norm is 0; None unless LARS."""
    momentum_form: Literal["inside", "outside"] = "inside"
    """inside: the LR enters the momentum buffer (Caffe, the paper); outside: PyTorch's form."""
    exclusions: Literal["none", "bias_bn"] = "none"
    """Parameters that get neither local rate nor weight decay."""
    global_batch: int
    bn_batch: int
    """Samples of one atom: the unit of BatchNorm statistics and of random generators."""
    base_lr: float
    lr_excluded: float | None = None
    """Peak LR of excluded parameters; None: the base LR."""
    trust_coefficient: float | None = None
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0005

    schedule: Literal["poly", "step", "cosine", "constant"] = "poly"
    power: float = 2.0
    poly_origin: Literal["global", "after_warmup"] = "global"
    milestones: tuple[float, ...] = ()
    """Shares of the run at which the step schedule multiplies the LR by ``step_factor``."""
    step_factor: float = 0.1
    warmup_steps: int = 0
    warmup_start: float = 0.0
    """LR at step 0 of the warm-up."""
    epochs: float
    evaluations: int = 20
    """K evaluation points at steps ceil(k·S/K), k = 1..K."""
    bn_eval: Literal["recompute", "ema"] = "recompute"
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    seed: int

    @property
    def steps(self) -> int:
        """S = ceil(E·N/B): every batch is full (PROTOCOL.md 2)."""
        # Rounded first: 0.1 epochs of 1,000 samples are 100 samples, not a hair more.
        return max(1, math.ceil(round(self.epochs * self.samples / self.global_batch, 6)))

    @property
    def evaluation_steps(self) -> tuple[int, ...]:
        """Steps after which an evaluation is due, increasing, the last one S (PROTOCOL.md 3)."""
        s, k = self.steps, self.evaluations
        return tuple(sorted({-(-i * s // k) for i in range(1, k + 1)}))

    @property
    def trial_id(self) -> str:
        """First 16 hex digits of sha256 over the canonical JSON of the trial."""
        return hashlib.sha256(canonical_json(self).encode()).hexdigest()[:16]


def in_tail(trial: TrialSpec, step: int) -> bool:
    """Whether a step is in the last 5 % of the steps: accuracy_tail (PROTOCOL.md 3)."""
    return 20 * step > 19 * trial.steps


def in_last5(trial: TrialSpec, step: int) -> bool:
    """Whether a step is in the last five epochs of a trial of 60 and more: accuracy_last5."""
    return trial.epochs >= 60 and (trial.steps - step) * trial.global_batch < 5 * trial.samples


# Fields that entered TrialSpec after science_version 1 was published, with the value that
# reproduces what was computed before they existed: at that value they stay out of the hash.
ADDED_LATER: dict[str, object] = {}
# Derived from data_id, protocol and val_share: hashing them would say the same thing twice.
NOT_HASHED = frozenset({"samples"})

_HASHED = tuple(field.name for field in fields(TrialSpec) if field.name not in NOT_HASHED)
_hashed_values = operator.attrgetter(*_HASHED)
_INEXACT = (float, tuple, list)
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def canonical_json(trial: TrialSpec) -> str:
    """The text that is hashed: sorted keys, floats as ``float.hex``, whole floats as integers."""
    content: dict[str, object] = {"science_version": SCIENCE_VERSION}
    for name, value in zip(_HASHED, _hashed_values(trial), strict=True):
        if name not in ADDED_LATER or ADDED_LATER[name] != value:
            content[name] = canonical(value) if type(value) in _INEXACT else value
    return _encode(content)


def canonical(value: object) -> object:
    """The JSON value that stands for a value in a hash: 1 and 1.0 are the same, 0.1 is exact."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"only finite numbers can be hashed, got {value}")
        return int(value) if value.is_integer() else value.hex()
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    return value


def trial_to_json(trial: TrialSpec) -> dict[str, Any]:
    """Plain values; ``trial_from_json`` gives the same trial back, bit for bit."""
    return asdict(trial)


def trial_from_json(content: dict[str, Any]) -> TrialSpec:
    """The trial that ``trial_to_json`` wrote; TypeError names an unknown or missing field."""
    known = {field.name for field in fields(TrialSpec)}
    unknown = sorted(set(content) - known)
    if unknown:
        raise TypeError(f"unknown trial fields: {', '.join(unknown)}")
    content = dict(content)
    content["milestones"] = tuple(content.get("milestones", ()))
    return TrialSpec(**content)
