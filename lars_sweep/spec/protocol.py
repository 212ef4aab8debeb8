"""What ``plan`` warns of: allowed, but the protocol says that the answer will suffer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from lars_sweep.spec.sweep import SweepSpec
from lars_sweep.spec.trial import TrialSpec

LARGEST_SHARE = 0.2
FEWEST_STEPS = 100
FEWEST_WARMUP_STEPS = 5
MOMENTUM_MEMORIES = 10
FEWEST_SEEDS = 3
FEWEST_LRS = 3
"""The best LR and a worse one on each side of it."""

_RIVAL_CHOICES = (
    "momentum",
    "momentum_form",
    "nesterov",
    "weight_decay",
    "exclusions",
    "schedule",
    "power",
    "poly_origin",
    "milestones",
    "step_factor",
    "warmup_steps",
)


def protocol_warnings(trials: Mapping[str, Sequence[TrialSpec]], spec: SweepSpec) -> list[str]:
    """One line for each kind of trouble and stratum, with the number and the protocol's section.

    Args:
        trials: of each stratum by its name; for an adaptive strategy, whose trials are not known
            yet, those of `Stratum.corners`.
        spec: the sweep.
    """
    lines = list(_of_sweep(spec))
    for stratum, some in trials.items():
        lines += [f"{stratum}: {line}" for line in (*_of_length(some), *_of_rates(some, spec))]
    return [*lines, *_of_rivals(trials)]


def _of_sweep(spec: SweepSpec) -> Iterator[str]:
    seeds = len(spec.seeds.values)
    if seeds < FEWEST_SEEDS:
        yield f"{seeds} seed(s) per point; under {FEWEST_SEEDS} no spread can be told from noise"
    if spec.protocol.name == "paper":
        yield (
            "protocol paper chooses and reports on the test set; "
            "accuracies are not comparable with held-out ones (protocol 1)"
        )


def _of_length(trials: Sequence[TrialSpec]) -> Iterator[str]:
    share = max(trial.global_batch / trial.samples for trial in trials)
    if share > LARGEST_SHARE:
        yield f"B/N = {share:.3g} > {LARGEST_SHARE}: too few steps per epoch (protocol 2)"
    steps = min(trial.steps for trial in trials)
    if steps < FEWEST_STEPS:
        yield f"S = {steps} < {FEWEST_STEPS} steps (protocol 2)"
    warmups = [trial.warmup_steps for trial in trials if trial.warmup_steps > 0]
    if warmups and min(warmups) < FEWEST_WARMUP_STEPS:
        yield f"warm-up of {min(warmups)} < {FEWEST_WARMUP_STEPS} steps (protocol 2)"
    worst = min(trials, key=lambda trial: trial.steps * (1 - trial.momentum))
    needed = MOMENTUM_MEMORIES / (1 - worst.momentum)
    if worst.steps < needed:
        yield (
            f"S = {worst.steps} < {MOMENTUM_MEMORIES}/(1−m) = {needed:.0f} steps: "
            f"momentum {worst.momentum:g} never settles (protocol 2)"
        )


def _of_rates(trials: Sequence[TrialSpec], spec: SweepSpec) -> Iterator[str]:
    lrs = {trial.base_lr * (trial.trust_coefficient or 1) for trial in trials}
    if spec.strategy.kind == "grid" and len(lrs) < FEWEST_LRS:
        yield (
            f"{len(lrs)} LR(s) cannot bracket the best; "
            f"a worse one on each side needs at least {FEWEST_LRS} (protocol 11)"
        )
    repeated = _repeated_products(trials)
    if repeated:
        yield (
            f"{repeated} points repeat another with the same γη and nothing else different: "
            "unless a norm is zero they compute the same (protocol 9)"
        )


def _repeated_products(trials: Sequence[TrialSpec]) -> int:
    """Points that are another with (γ, η) → (cγ, η/c), where the two are one number."""
    if len({trial.trust_coefficient for trial in trials}) < 2:
        return 0
    seen: dict[object, set[float]] = defaultdict(set)
    for trial in trials:
        eta = trial.trust_coefficient
        if eta is None or trial.exclusions != "none" or trial.lars_variant == "clip":
            continue
        rest = replace(trial, base_lr=1.0, trust_coefficient=1.0, warmup_start=0.0, seed=0)
        products = f"{trial.base_lr * eta:.9g}", f"{trial.warmup_start * eta:.9g}"
        seen[rest, products].add(trial.base_lr)
    return sum(len(lrs) - 1 for lrs in seen.values())


def _of_rivals(strata: Mapping[str, Sequence[TrialSpec]]) -> Iterator[str]:
    """LARS and SGD at one (model, batch, epochs) must have had the same chances."""
    cells: dict[tuple[str, str], dict[str, list[TrialSpec]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for trials in strata.values():
        for trial in trials:
            cell = f"{trial.model} B{trial.global_batch} E{trial.epochs:g}", trial.augmentation
            cells[cell][trial.optimizer].append(trial)
    for (cell_name, _), rivals in cells.items():
        sgd, lars = rivals.get("sgd"), rivals.get("lars")
        if not sgd or not lars:
            continue
        unequal = [c for c in _RIVAL_CHOICES if _chosen(sgd, c) != _chosen(lars, c)]
        if len(sgd) != len(lars):
            unequal.append(f"trials ({len(sgd)} and {len(lars)})")
        if unequal:
            yield (
                f"{cell_name}: sgd and lars differ in {', '.join(unequal)}; "
                "their comparison is not fair (protocol 11)"
            )


def _chosen(trials: Sequence[TrialSpec], name: str) -> set[object]:
    return {getattr(trial, name) for trial in trials}
