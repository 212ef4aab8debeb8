"""One batch's settings to port elsewhere, each with what is known of it or why nothing is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lars_sweep.errors import FitError
from lars_sweep.fit.analysis import (
    Analysis,
    Chosen,
    EpochsFinding,
    Key,
    LrFinding,
    LrScalingFinding,
)
from lars_sweep.fit.analysis.groups import Group, split
from lars_sweep.fit.answers import Answer, Kind
from lars_sweep.fit.best_lr import LrScaling
from lars_sweep.fit.divergence import DivergenceAt
from lars_sweep.fit.predict import lr_at
from lars_sweep.fit.rows import Rows
from lars_sweep.fit.steps import StepsFit, epochs_to_target
from lars_sweep.report.inputs import Source, to_rows
from lars_sweep.report.pytorch_lines import pytorch_lines

Plain = str | float | int | bool
Content = Mapping[str, Mapping[str, Plain]]

SETTINGS = (
    "momentum", "momentum_form", "nesterov", "weight_decay", "trust_coefficient", "lars_variant",
    "granularity", "zero_norm", "exclusions", "lr_excluded",
)  # fmt: skip
SCHEDULE = ("schedule", "power", "poly_origin", "warmup_epochs", "warmup_start")
ABOUT = ("model", "dataset", "augmentation", "precision", "bn_batch", "samples")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Sections of keys, as they stand in the TOML; ``cannot say: ...`` where the data cannot."""

    content: Content

    def toml(self) -> str:
        """The recipe as TOML, the PyTorch lines behind it as comments."""
        parts = []
        for section, keys in self.content.items():
            parts.append(f"[{section}]")
            parts += [f"{key} = {_toml_value(value)}" for key, value in keys.items()]
            parts.append("")
        lines = "\n".join(f"# {line}".rstrip() for line in self.pytorch().splitlines())
        return "\n".join(parts) + f"\n# In PyTorch:\n#\n{lines}\n"

    def pytorch(self) -> str:
        """Lines that make the optimizer and its schedule for a ``model``."""
        return pytorch_lines(self.content)


def _toml_value(value: Plain) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # A JSON string is a TOML basic string; a float's shortest text is a TOML float.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def make_recipe(
    source: Source, analysis: Analysis, batch: int, only: Mapping[str, str] | None = None
) -> Recipe:
    """The recipe for one batch.

    Args:
        source: where the outcomes come from.
        analysis: all fits of that source.
        batch: global batch. One that was not run is interpolated, at most an octave away.
        only: column → value that the rows must have, to pick one of several settings.

    Raises:
        FitError: several settings are left, no run finished, or the batch is too far from those
            that were run; the message lists what there is.
    """
    group = _one_group(split(to_rows(source.outcomes)), only or {})
    chosen = [c for e in analysis.chosen if e.key == group.key for c in e.found or ()]
    if not chosen:
        raise FitError(f"{source.label}: no run of {group.key.label} finished: nothing to port")
    epochs = _epochs_found(analysis, group.key)
    wanted = (only or {}).get("epochs")
    here = [c for c in chosen if c.global_batch == batch]
    if wanted is not None:
        here = [c for c in here if c.epochs == float(wanted)]
    if here:
        one = _of_length(here, epochs)
        finding = _lr_found(analysis, group.key, batch, one.epochs)
        rates, risk = _rates(one, finding), _risk(_lr(one, finding), finding)
        rows = group.rows.where(group.rows.floats("global_batch") == batch)
    else:
        one, rates = _interpolated(analysis, group.key, chosen, batch)
        risk = {"diverged": f"cannot say: batch {batch} was not run"}
        rows = group.rows.where(group.rows.floats("global_batch") == one.global_batch)
    return Recipe(
        content={
            "recipe": {
                **_constants(rows, ABOUT),
                "optimizer": str(group.key["optimizer"] or "unknown"),
                "global_batch": batch,
            },
            "optimizer": _constants(rows, SETTINGS),
            "learning_rate": _short(rates),
            "schedule": _constants(rows, SCHEDULE),
            "training": _short(_training(one, epochs, batch, rows)),
            "divergence": _short(risk),
            "provenance": _provenance(source, analysis, group),
        }
    )


def _one_group(groups: tuple[Group, ...], only: Mapping[str, str]) -> Group:
    """The group that the user means: LARS where it is one of two rivals."""
    named = {name: value for name, value in only.items() if name != "epochs"}
    left = [
        group
        for group in groups
        if all(str(group.conditions.get(name)) == value for name, value in named.items())
    ]
    if not left:
        told = "; ".join(group.key.label for group in groups) or "none"
        raise FitError(f"--only {_shown(named)}: no rows are left; there are: {told}")
    if len(left) > 1 and "optimizer" not in named:
        lars = [group for group in left if group.key["optimizer"] == "lars"]
        left = lars or left
    if len(left) > 1:
        told = "; ".join(group.key.label for group in left)
        raise FitError(f"several settings were run: {told}; pick one with --only NAME=VALUE")
    return left[0]


def _shown(named: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in named.items())


def _epochs_found(analysis: Analysis, key: Key) -> EpochsFinding | None:
    return next((e.found for e in analysis.epochs if e.key == key), None)


def _lr_found(analysis: Analysis, key: Key, batch: int, epochs: float) -> LrFinding | None:
    wanted = Key(conditions=key.conditions, global_batch=batch, epochs=epochs)
    return next((e.found for e in analysis.lr_interval if e.key == wanted), None)


def _of_length(chosen: list[Chosen], epochs: EpochsFinding | None) -> Chosen:
    """The shortest training that reached the target, else the longest."""
    chosen = sorted(chosen, key=lambda one: one.epochs)
    if epochs is not None:
        for one in chosen:
            if one.accuracy >= epochs.steps.target.value:
                return one
    return chosen[-1]


def _lr(one: Chosen, finding: LrFinding | None) -> float:
    """The middle of the surely good LRs, in octaves; without such, the best one tried."""
    if finding is not None and finding.interval.inner is not None:
        inner = finding.interval.inner
        if inner.low is not None and inner.high is not None:
            return math.sqrt(inner.low * inner.high)
    return math.nan if one.lr is None else one.lr


def _rates(one: Chosen, finding: LrFinding | None) -> dict[str, Plain]:
    lr = _lr(one, finding)
    if math.isnan(lr):
        return {"peak": "cannot say: the table has no learning rates"}
    ratio = None if one.lr_peak is None or one.lr is None else one.lr_peak / one.lr
    middle = finding is not None and finding.interval.inner is not None
    edge = "; it is at an end of the grid, a better one may lie beyond" if one.at_edge else ""
    best = f"best of {one.lrs} tried{edge}" if one.lrs > 1 else "the only one in the data"
    rates: dict[str, Plain] = {
        "base": lr,
        "peak": "cannot say: the largest LR of the schedule is not recorded"
        if ratio is None or math.isnan(ratio)
        else lr * ratio,
        "source": "middle of the LRs that are surely good" if middle else best,
    }
    return rates | _interval_keys(finding)


def _interval_keys(finding: LrFinding | None) -> dict[str, Plain]:
    """The LRs that are surely good and those that may be, in units of ``base``."""
    if finding is None:
        return {"safe": "cannot say: no LR interval is fitted"}
    found = finding.interval
    keys: dict[str, Plain] = {}
    if found.inner is not None and found.inner.low is not None and found.inner.high is not None:
        keys["safe_low"], keys["safe_high"] = found.inner.low, found.inner.high
    else:
        reasons = [answer.reason for answer in (found.low, found.high) if answer.reason]
        reason = reasons[0] if reasons else "the intervals of the two edges overlap"
        keys["safe"] = f"cannot say: {reason}"
    for name, end in (("possible_low", found.outer.low), ("possible_high", found.outer.high)):
        if end is not None:
            keys[name] = end
    return keys | {"delta": found.delta}


def _risk(lr: float, finding: LrFinding | None) -> dict[str, Plain]:
    """Divergence at the next tested LR above: P does not fall with the LR, so it bounds P here."""
    if finding is None or math.isnan(lr):
        return {"diverged": "cannot say: no learning rates were compared"}
    tested = [v.diverged for v in finding.interval.verdicts if v.diverged.runs]
    above = [at for at in tested if at.lr >= lr * (1.0 - 1e-9)]
    if not above:
        return {"diverged": "cannot say: no LR at or above this one was run"}
    at: DivergenceAt = min(above, key=lambda one: one.lr)
    return {
        "at_base_lr": at.lr,
        "diverged": at.diverged,
        "runs": at.runs,
        "probability": at.probability,
        "upper_95": at.upper,
    }


def _interpolated(
    analysis: Analysis, key: Key, chosen: list[Chosen], batch: int
) -> tuple[Chosen, dict[str, Plain]]:
    """The nearest batch that was run, and the LR that the scaling gives; else an error."""
    ran = sorted({one.global_batch for one in chosen})
    listed = ", ".join(str(one) for one in ran)
    missing = f"batch {batch} was not run; there are: {listed}"
    scalings = [e.found for e in analysis.best_lr if e.key.group == key and e.found is not None]
    for finding in scalings:
        answer, on = _scaled(finding, batch)
        if answer is None or answer.value is None:
            continue
        nearest = min(chosen, key=lambda one: (abs(math.log(one.global_batch / batch)), one.epochs))
        rates: dict[str, Plain] = {
            on: answer.value,
            "source": f"scaling of the best LR over the batches run ({listed})",
            "safe": f"cannot say: batch {batch} was not run",
        }
        limits = answer.interval
        if limits is not None and limits.low is not None and limits.high is not None:
            rates |= {"best_low": limits.low, "best_high": limits.high}
        return nearest, rates
    raise FitError(f"{missing}; no scaling of the best LR reaches it (at most an octave away)")


def _scaled(finding: LrScalingFinding, batch: int) -> tuple[Answer | None, str]:
    """The nominal LR at a batch; on the largest LR only where no nominal scaling exists."""
    for on, scaling in (("base", finding.nominal), ("peak", finding.peak)):
        if isinstance(scaling, LrScaling):
            return lr_at(scaling, float(batch)), on
    return None, "base"


def _training(
    one: Chosen, epochs: EpochsFinding | None, batch: int, rows: Rows
) -> dict[str, Plain]:
    samples = float(rows.floats("samples")[0])
    keys: dict[str, Plain] = {
        "epochs": one.epochs,
        "steps": math.ceil(one.epochs * samples / batch),
    }
    if one.global_batch == batch:
        # Of the best LR that was run, which is not always the one to port.
        keys |= {} if one.lr is None or math.isnan(one.lr) else {"accuracy_at_base_lr": one.lr}
        keys |= {"accuracy": one.accuracy, "seeds": one.seeds}
        keys |= {} if one.sd is None else {"accuracy_sd": one.sd}
    if epochs is None or not isinstance(epochs.steps.fit, StepsFit):
        return keys | {"epochs_to_hold_baseline": "cannot say: no curve of accuracy against steps"}
    target = epochs.steps.target
    answer = epochs_to_target(epochs.steps.fit, target.value, float(batch), target_se=target.se)
    return keys | {"baseline": target.value, "baseline_source": target.source} | _held(answer)


def _held(answer: Answer) -> dict[str, Plain]:
    """Epochs that hold the baseline, with their limits."""
    known = answer.kind in (Kind.REACHED, Kind.BOUNDED, Kind.AT_LEAST)
    if known and answer.value is not None:
        keys: dict[str, Plain] = {"epochs_to_hold_baseline": answer.value}
    else:
        keys = {"epochs_to_hold_baseline": f"cannot say: {answer.reason}"}
        if answer.value is not None:
            keys["epochs_estimate"] = answer.value
    if answer.interval is not None and answer.interval.low is not None:
        keys["epochs_low"] = answer.interval.low
    if answer.interval is not None and answer.interval.high is not None:
        keys["epochs_high"] = answer.interval.high
    return keys | {"answer": answer.kind.value}


def _short(keys: Mapping[str, Plain]) -> dict[str, Plain]:
    """Measured and fitted numbers with six significant digits, more than any of them has."""
    return {
        name: float(f"{value:.6g}") if isinstance(value, float) else value
        for name, value in keys.items()
    }


def _constants(rows: Rows, names: tuple[str, ...]) -> dict[str, Plain]:
    """The settings that all rows share; those that nobody recorded are left out."""
    found: dict[str, Plain] = {}
    for name in names:
        values = set(rows[name].tolist()) if name in rows else set()
        value = next(iter(values)) if len(values) == 1 else None
        if value is None or (isinstance(value, float) and np.isnan(value)):
            continue
        found[name] = value
    return found


def _provenance(source: Source, analysis: Analysis, group: Group) -> dict[str, Plain]:
    from lars_sweep import __version__

    splits = {str(value) for value in group.rows["split"]} if "split" in group.rows else set()
    keys: dict[str, Plain] = {
        "lars_sweep": __version__,
        "input": source.label,
        **{name.lower().replace(" ", "_"): str(value) for name, value in source.provenance.items()},
        "trials": len(group.rows),
        "protocol": ", ".join(sorted(splits)) or "unknown",
        "delta": analysis.options.delta,
    }
    return keys | ({"fixture": source.fixture} if source.fixture else {})
