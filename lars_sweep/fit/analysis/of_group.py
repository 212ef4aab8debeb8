"""Every fit of one group of rows: what needs no other group, so that groups can be fitted apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lars_sweep.fit.analysis.chosen import Chosen, choose, chosen_rows, of_trials
from lars_sweep.fit.analysis.critical import CriticalFinding, critical_finding
from lars_sweep.fit.analysis.curves_in_steps import (
    BatchFinding,
    EpochsFinding,
    StepsFinding,
    batch_findings,
    epochs_finding,
    steps_finding,
)
from lars_sweep.fit.analysis.entries import Entry, Missing, TooLittle
from lars_sweep.fit.analysis.groups import Group
from lars_sweep.fit.analysis.learning_rates import (
    EffectiveLrs,
    LrFinding,
    lr_findings,
)
from lars_sweep.fit.analysis.losses import GapFinding, gap_findings
from lars_sweep.fit.analysis.noise import NoiseFinding, noise_findings
from lars_sweep.fit.analysis.norms import LayersFinding, layers_findings
from lars_sweep.fit.analysis.options import FitOptions
from lars_sweep.fit.analysis.scaling import LrScalingFinding, lr_scalings
from lars_sweep.fit.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRows:
    """A group with its chosen LRs and what was recorded of its runs."""

    group: Group
    chosen: tuple[Chosen, ...] | TooLittle
    curves: Rows | None
    """Of the runs at the chosen LRs."""
    layers: Rows | None
    noise: Rows | None
    effective: EffectiveLrs | None
    """Of all its runs."""
    options: FitOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFindings:
    """Entries of one group, empty for a question that was not asked."""

    lr_interval: tuple[Entry[LrFinding], ...] = ()
    steps: StepsFinding | None = None
    epochs: tuple[Entry[EpochsFinding], ...] = ()
    batch: tuple[Entry[BatchFinding], ...] = ()
    best_lr: tuple[Entry[LrScalingFinding], ...] = ()
    critical_batch: tuple[Entry[CriticalFinding], ...] = ()
    noise_scale: tuple[Entry[NoiseFinding], ...] = ()
    gap: tuple[Entry[GapFinding], ...] = ()
    layers: tuple[Entry[LayersFinding], ...] = ()


Part = tuple[Callable[[GroupRows], GroupFindings], GroupRows]
"""Some of the questions about a group."""
Mapper = Callable[[Callable[[Part], GroupFindings], Sequence[Part]], Iterable[GroupFindings]]
"""As the builtin ``map``; one that works elsewhere pickles the function and the items."""


def rows_of_group(
    group: Group,
    curves: Rows | None,
    layers: Rows | None,
    noise: Rows | None,
    effective: EffectiveLrs | None,
    options: FitOptions,
) -> GroupRows:
    """What `group_findings` reads of all rows."""
    chosen = choose(group)
    trials = trials_of(group, chosen)
    if effective is not None and "trial_id" in group.rows:
        own = group.rows["trial_id"].tolist()
        effective = {trial: effective[trial] for trial in own if trial in effective}
    return GroupRows(
        group=group,
        chosen=chosen,
        curves=None if curves is None else of_trials(curves, trials),
        layers=None if layers is None else of_trials(layers, trials),
        noise=None if noise is None else of_trials(noise, trials),
        effective=effective,
        options=options,
    )


def trials_of(group: Group, chosen: tuple[Chosen, ...] | Missing) -> set[str]:
    """Finished trials at the chosen LRs."""
    if not isinstance(chosen, tuple) or "trial_id" not in group.rows:
        return set()
    return set(chosen_rows(group, chosen)["trial_id"].tolist())


def group_findings(given: Sequence[GroupRows], mapper: Mapper = map) -> list[GroupFindings]:
    """Answer every question that was asked, for each group.

    Args:
        given: the groups.
        mapper: what maps over their parts, of which none needs another.
    """
    # The longer ones first: whoever works on them then ends at about the same time.
    parts = [(about, one) for about in (_of_the_rest, _of_rates) for one in given]
    found = list(mapper(_answered, parts))
    return [
        dataclasses.replace(rest, lr_interval=rates.lr_interval, best_lr=rates.best_lr)
        for rest, rates in zip(found[: len(given)], found[len(given) :], strict=True)
    ]


def _answered(part: Part) -> GroupFindings:
    about, given = part
    return about(given)


def _of_rates(given: GroupRows) -> GroupFindings:
    wanted = set(given.options.kinds)
    if not wanted & {"lr-interval", "best-lr", "batch"}:
        return GroupFindings()
    rates = lr_findings(given.group, given.options, given.effective)
    best = lr_scalings(given.group, rates) if "best-lr" in wanted else ()
    return GroupFindings(lr_interval=rates, best_lr=best)


def _of_the_rest(given: GroupRows) -> GroupFindings:
    group, chosen, options = given.group, given.chosen, given.options
    wanted = set(options.kinds)
    found = GroupFindings()
    if wanted & {"epochs", "batch", "critical-batch"}:
        found = _in_steps(group, steps_finding(group, options), options)
    noise = noise_findings(group, chosen, given.noise) if "critical-batch" in wanted else ()
    return dataclasses.replace(
        found,
        noise_scale=noise,
        gap=gap_findings(group, chosen, given.curves, options) if "gap" in wanted else (),
        layers=layers_findings(group, chosen, given.layers) if "layers" in wanted else (),
    )


def _in_steps(group: Group, steps: StepsFinding | Missing, options: FitOptions) -> GroupFindings:
    """What rests on the joint curve in steps."""
    asked = [kind in options.kinds for kind in ("epochs", "batch", "critical-batch")]
    if not isinstance(steps, StepsFinding):
        return GroupFindings(
            epochs=(group.entry(steps),) if asked[0] else (),
            batch=(group.entry(steps),) if asked[1] else (),
            critical_batch=(group.entry(steps),) if asked[2] else (),
        )
    return GroupFindings(
        steps=steps,
        epochs=(group.entry(epochs_finding(steps)),) if asked[0] else (),
        batch=batch_findings(group, steps, options) if asked[1] else (),
        critical_batch=(group.entry(critical_finding(group, steps)),) if asked[2] else (),
    )
