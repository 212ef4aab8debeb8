"""From a trial and its result to the row that is kept."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from lars_sweep.outcomes.loose import Outcome
from lars_sweep.spec.trainer import Evaluation, Hardware, TrialResult, choice_accuracy
from lars_sweep.spec.trial import TrialSpec, in_last5, in_tail
from lars_sweep.study.plan import QueuedTrial
from lars_sweep.worker.finite import finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where an outcome comes from."""

    sweep: str
    spec_hash: str
    hardware: Hardware
    versions: str
    git_commit: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What all attempts at a trial took together."""

    attempts: int
    wall_s: float
    started_at: float
    finished_at: float


def make_outcome(
    queued: QueuedTrial,
    trial: TrialSpec,
    result: TrialResult,
    effort: Effort,
    provenance: Provenance,
) -> Outcome:
    """The outcome of a finished trial.

    Args:
        queued: the trial's place in the plan.
        trial: what it computed.
        result: how it ended.
        effort: what it took.
        provenance: where it ran, from what.
    """
    row: dict[str, object] = {
        "trial_id": queued.trial_id,
        "sweep": provenance.sweep,
        "stratum": queued.stratum,
        "point": queued.point,
        "params": json.dumps(dict(queued.params), sort_keys=True),
        "status": result.status,
        "cause": result.cause,
        **setting_columns(trial),
        "lr_peak": result.lr_peak,
        "lr_integral": result.lr_integral,
        "epochs_done": result.steps_done * trial.global_batch / trial.samples,
        "steps_done": result.steps_done,
        "images_seen": result.steps_done * trial.global_batch,
        "zero_norm_events": result.zero_norm_events,
        **_measured(trial, result),
        "attempts": effort.attempts,
        "wall_s": effort.wall_s,
        "device_s": effort.wall_s * provenance.hardware.devices,
        "device": provenance.hardware.device,
        "versions": provenance.versions,
        "git_commit": provenance.git_commit,
        "spec_hash": provenance.spec_hash,
        "started_at": datetime.fromtimestamp(effort.started_at, tz=UTC),
        "finished_at": datetime.fromtimestamp(effort.finished_at, tz=UTC),
    }
    return Outcome(
        row=row,
        curve=[finite(asdict(evaluation)) for evaluation in result.evaluations],
        layers=[finite(asdict(norms)) for norms in result.layers],
        noise=[finite(asdict(norms)) for norms in result.noise],
    )


def setting_columns(trial: TrialSpec) -> dict[str, object]:
    """Columns that repeat the trial's fields, in the terms of the schema."""
    lr_excluded = trial.base_lr if trial.lr_excluded is None else trial.lr_excluded
    poly = trial.schedule == "poly"
    same = (
        "model", "dataset", "augmentation", "optimizer", "lars_variant", "granularity", "zero_norm",
        "momentum_form", "global_batch", "bn_batch", "base_lr", "trust_coefficient", "momentum",
        "nesterov", "weight_decay", "exclusions", "schedule", "warmup_start", "epochs", "steps",
        "samples", "seed", "precision", "bn_eval", "init",
    )  # fmt: skip
    return {
        **{name: getattr(trial, name) for name in same},
        "split": trial.protocol,
        "lr_excluded": lr_excluded if trial.exclusions != "none" else None,
        "poly_origin": trial.poly_origin if poly else None,
        "power": trial.power if poly else None,
        "warmup_epochs": trial.warmup_steps * trial.global_batch / trial.samples,
    }


def _measured(trial: TrialSpec, result: TrialResult) -> dict[str, object]:
    """Accuracies and losses as PROTOCOL.md 3 and 6 define them."""
    names = (
        "accuracy", "accuracy_val", "accuracy_tail", "accuracy_last5", "accuracy_top5",
        "accuracy_at_stop", "test_loss", "train_loss", "diverged_step", "images_per_s",
    )  # fmt: skip
    columns: dict[str, object] = dict.fromkeys(names)
    evaluations = result.evaluations
    if evaluations:
        rates = [evaluation.images_per_s for evaluation in evaluations]
        columns["images_per_s"] = statistics.median(rates)
    if result.status == "failed":
        return columns
    if evaluations and result.status != "ok":
        columns["accuracy_at_stop"] = _choice(evaluations[-1])
    if result.status == "diverged":
        columns |= dict.fromkeys(("accuracy", "accuracy_val", "accuracy_tail"), result.chance)
        if in_last5(trial, trial.steps):
            columns["accuracy_last5"] = result.chance
        columns["diverged_step"] = result.steps_done
    elif result.status == "ok":
        last = evaluations[-1]
        columns |= {
            "accuracy": last.test_accuracy,
            "accuracy_val": _mean(_tail(evaluations, trial), _choice),
            "accuracy_tail": _mean(_tail(evaluations, trial), _reported),
            "accuracy_last5": _mean(_last5(evaluations, trial), _reported),
            "accuracy_top5": last.test_top5,
            "test_loss": last.test_loss,
            "train_loss": last.train_loss,
        }
    return finite(columns)


def _choice(evaluation: Evaluation) -> float:
    return choice_accuracy(evaluation.val_accuracy, evaluation.test_accuracy)


def _reported(evaluation: Evaluation) -> float | None:
    return evaluation.test_accuracy


def _tail(evaluations: Sequence[Evaluation], trial: TrialSpec) -> list[Evaluation]:
    return [evaluation for evaluation in evaluations if in_tail(trial, evaluation.step)]


def _last5(evaluations: Sequence[Evaluation], trial: TrialSpec) -> list[Evaluation]:
    return [evaluation for evaluation in evaluations if in_last5(trial, evaluation.step)]


def _mean(
    evaluations: Sequence[Evaluation], value: Callable[[Evaluation], float | None]
) -> float | None:
    """The mean, or None if there is nothing to average or a value is missing."""
    values = [value(evaluation) for evaluation in evaluations]
    present = [v for v in values if v is not None]
    return statistics.fmean(present) if present and len(present) == len(values) else None
