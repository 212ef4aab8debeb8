"""From the trials of a plan to the designs whose power is simulated."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from lars_sweep.fit.lr_design import MINIMUM_LRS
from lars_sweep.fit.power import PowerReport, SweepDesign, plan_power
from lars_sweep.fit.surface import assumed_surface
from lars_sweep.nouns import count
from lars_sweep.spec.trial import TrialSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignPower:
    """What a plan could say of all batches of one network, optimizer and setting."""

    name: str
    """As in ``alexnet_bn lars, 100 epochs``."""
    skipped: tuple[int, ...]
    """Batches with too few LRs for an interval."""
    report: PowerReport | None
    """None if no batch has LRs enough."""


def design_powers(
    trials: Iterable[TrialSpec], *, sigma: float, delta: float
) -> tuple[DesignPower, ...]:
    """One design for each setting; what follows the batch (LR, BN group, warm-up) varies in it.

    The assumed truth is the surface that simulations use (`surface.assumed_surface`), with its best
    LR in the middle of the middle batch's LRs: where it really lies is what the sweep is to find.

    Args:
        trials: of a planned strategy.
        sigma: assumed standard deviation of one seed, points.
        delta: of the sweep file, points.
    """
    groups: dict[TrialSpec, list[TrialSpec]] = defaultdict(list)
    for trial in trials:
        groups[_setting(trial)].append(trial)
    return tuple(
        DesignPower(
            name=_name(setting, groups),
            skipped=tuple(sorted({t.global_batch for t in group} - set(design.lrs))),
            report=_power(setting, design) if design.lrs else None,
        )
        for setting, group in groups.items()
        for design in [_design(setting, group, sigma, delta)]
    )


def _setting(trial: TrialSpec) -> TrialSpec:
    return replace(
        trial,
        global_batch=1,
        bn_batch=1,
        base_lr=1.0,
        lr_excluded=None,
        warmup_steps=0,
        warmup_start=0.0,
        poly_origin="global",
        seed=0,
    )


def _name(setting: TrialSpec, settings: Iterable[TrialSpec]) -> str:
    """What every name has, then the fields that tell the setting from others like it."""
    own = [
        other
        for other in settings
        if (other.model, other.optimizer, other.epochs)
        == (setting.model, setting.optimizer, setting.epochs)
    ]
    parts = [f"{setting.model} {setting.optimizer}", count(setting.epochs, "epoch")]
    for field in fields(TrialSpec):
        if len({getattr(other, field.name) for other in own}) > 1:
            parts.append(f"{field.name} {getattr(setting, field.name)}")
    return ", ".join(parts)


def _design(
    setting: TrialSpec, trials: Sequence[TrialSpec], sigma: float, delta: float
) -> SweepDesign:
    seeds: dict[int, Counter[float]] = defaultdict(Counter)
    for trial in trials:
        seeds[trial.global_batch][trial.base_lr] += 1
    enough = sorted(batch for batch, lrs in seeds.items() if len(lrs) >= MINIMUM_LRS)
    return SweepDesign(
        lrs={batch: tuple(sorted(seeds[batch])) for batch in enough},
        seeds=min(count for lrs in seeds.values() for count in lrs.values()),
        epochs=setting.epochs,
        samples=setting.samples,
        sigma=sigma,
        delta=delta,
    )


def _power(setting: TrialSpec, design: SweepDesign) -> PowerReport:
    surface = assumed_surface(
        setting.model,
        setting.optimizer,
        dataset=setting.dataset,
        samples=setting.samples,
        augmentation=setting.augmentation,
    )
    lrs = design.lrs[design.middle]
    return plan_power(design, surface.centered_at(math.sqrt(lrs[0] * lrs[-1]), design.middle))
