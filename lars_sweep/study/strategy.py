"""The Optuna sampler and pruner that a sweep file names; `plan` checks that they can be made."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import optuna

from lars_sweep.errors import SpecError
from lars_sweep.spec.sweep import SweepSpec

_SAMPLERS: Mapping[str, type[optuna.samplers.BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "gp": optuna.samplers.GPSampler,
}
_NOT_OFFERED = {"BasePruner", "NopPruner", "PatientPruner"}


def check_strategy(spec: SweepSpec) -> None:
    """Make the sampler and the pruner, to see that they can be made.

    Raises:
        SpecError: there is no such pruner, or Optuna refuses the options of either.
    """
    make_pruner(spec, evaluations=1)
    if spec.strategy.kind in _SAMPLERS:
        make_sampler(spec, seed=0)


def make_sampler(spec: SweepSpec, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of an adaptive strategy.

    Args:
        spec: the sweep.
        seed: of its random stream, any non-negative integer.

    Raises:
        SpecError: Optuna refuses its options.
    """
    kind = _SAMPLERS[spec.strategy.kind]
    with _refusals(spec, "sampler", kind.__name__):
        return kind(seed=seed % 2**32, **spec.strategy.sampler)  # type: ignore[call-arg]


def make_pruner(spec: SweepSpec, *, evaluations: int) -> optuna.pruners.BasePruner | None:
    """The pruner, or None if the file names none.

    Args:
        spec: the sweep.
        evaluations: K of the trials; a pruner's resource is the number of the evaluation, 1..K.

    Raises:
        SpecError: Optuna has no such pruner, or refuses its options.
    """
    wanted = spec.strategy.pruner
    if wanted is None:
        return None
    names = {name for name in dir(optuna.pruners) if name.endswith("Pruner")}
    if wanted.name not in names - _NOT_OFFERED:
        allowed = ", ".join(sorted(names - _NOT_OFFERED))
        path = ("strategy", "pruner", "name")
        raise SpecError([spec.toml.problem(path, repr(wanted.name), allowed)])
    options: dict[str, Any] = {**_resources(wanted.name, evaluations), **wanted.options}
    with _refusals(spec, "pruner", wanted.name):
        made: optuna.pruners.BasePruner = getattr(optuna.pruners, wanted.name)(**options)
    return made


def _resources(pruner: str, evaluations: int) -> dict[str, int]:
    """What Optuna would guess from the first trial that completes, known here from the start."""
    if pruner == "SuccessiveHalvingPruner":
        return {"min_resource": 1}
    return {"max_resource": evaluations} if pruner == "HyperbandPruner" else {}


@contextmanager
def _refusals(spec: SweepSpec, key: str, name: str) -> Iterator[None]:
    """Optuna's complaints about options, as a problem of the sweep file."""
    try:
        with warnings.catch_warnings():
            # What Optuna calls experimental is the user's choice.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    except (TypeError, ValueError) as error:
        allowed = f"what optuna's {name} takes ({' '.join(str(error).split())})"
        options = spec.strategy.sampler if key == "sampler" else spec.strategy.pruner
        raise SpecError([spec.toml.problem(("strategy", key), str(options), allowed)]) from error
