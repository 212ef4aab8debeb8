"""A recipe as lines of PyTorch: the optimizer and its schedule, per step."""

from __future__ import annotations

from collections.abc import Mapping

from lars_sweep.nouns import count

Plain = str | float | int | bool

_DECAYS = {
    "constant": "1.0",
    "cosine": "(1 + math.cos(math.pi * {after})) / 2",
}
_ARGUMENTS = {
    "momentum": "momentum",
    "weight_decay": "weight_decay",
    "trust_coefficient": "trust_coefficient",
    "lars_variant": "variant",
    "granularity": "granularity",
    "zero_norm": "zero_norm",
    "momentum_form": "momentum_form",
    "nesterov": "nesterov",
}
_OF_SGD = ("momentum", "weight_decay", "momentum_form", "nesterov")


def pytorch_lines(content: Mapping[str, Mapping[str, Plain]]) -> str:
    """Lines that need a ``model`` and leave ``optimizer`` and ``schedule``; or why there are none.

    Args:
        content: the sections of a recipe.
    """
    optimizer = content["recipe"]["optimizer"]
    rate = content["learning_rate"].get("base")
    if optimizer not in ("lars", "sgd"):
        return f"# no lines: lars_sweep.train has LARS and SGD, this is {optimizer}\n"
    if not isinstance(rate, float):
        return "# no lines: no learning rate is known\n"
    settings = content["optimizer"]
    groups, parameters = _groups(settings)
    name = "LARS" if optimizer == "lars" else "SGD"
    known = [key for key in _ARGUMENTS if key in settings and (name == "LARS" or key in _OF_SGD)]
    arguments = [f"{_ARGUMENTS[key]}={settings[key]!r}" for key in known]
    decay = _decay(content["schedule"])
    imports = [
        *(["import math", ""] if "math." in (decay or "") else []),
        *([] if decay is None else ["from torch.optim.lr_scheduler import LambdaLR", ""]),
        f"from lars_sweep.train import {name}",
        "",
    ]
    made = [f"optimizer = {name}(", f"    {parameters},", f"    lr={rate!r},"]
    made += [f"    {argument}," for argument in arguments]
    lines = [*imports, *groups, *made, ")"]
    if decay is None:
        told = content["schedule"].get("schedule", "unknown")
        return "\n".join([*lines, f"# schedule: {told}; its milestones are not recorded"]) + "\n"
    return "\n".join([*lines, *_schedule(content, rate, decay)]) + "\n"


def _groups(settings: Mapping[str, Plain]) -> tuple[list[str], str]:
    """Lines before the optimizer, and its first argument."""
    if settings.get("exclusions") != "bias_bn":
        return [], "model.parameters()"
    excluded = settings.get("lr_excluded")
    own = "" if excluded is None else f', "lr": {excluded!r}'
    return [
        "layers = [p for p in model.parameters() if p.ndim > 1]",
        "rest = [p for p in model.parameters() if p.ndim <= 1]",
        'groups = [{"params": layers},',
        f'          {{"params": rest, "excluded": True, "weight_decay": 0.0{own}}}]',
    ], "groups"


def _decay(schedule: Mapping[str, Plain]) -> str | None:
    """γ/γ0 after the warm-up as an expression of ``step``; None where it is not recorded."""
    kind = schedule.get("schedule")
    after = "((step - WARMUP) / (STEPS - WARMUP))"
    if kind == "poly":
        done = "step / STEPS" if schedule.get("poly_origin") == "global" else after
        return f"(1 - {done}) ** {schedule.get('power', 2.0)!r}"
    return _DECAYS[str(kind)].format(after=after) if kind in _DECAYS else None


def _schedule(content: Mapping[str, Mapping[str, Plain]], rate: float, decay: str) -> list[str]:
    recipe, schedule, training = content["recipe"], content["schedule"], content["training"]
    per_epoch = float(recipe["samples"]) / float(recipe["global_batch"])
    warmup = round(float(schedule.get("warmup_epochs", 0.0)) * per_epoch)
    start = float(schedule.get("warmup_start", 0.0)) / rate
    steps = int(training["steps"])
    about = count(float(training["epochs"]), "epoch")
    lines = ["", f"STEPS, WARMUP = {steps}, {warmup}  # {about}", "", ""]
    lines.append("def factor(step: int) -> float:")
    if warmup:
        ramp = "step / WARMUP" if start == 0 else f"{start!r} + {1 - start!r} * step / WARMUP"
        lines += ["    if step < WARMUP:", f"        return {ramp}"]
    lines += [
        "    step = min(step, STEPS)",
        f"    return {decay}",
        "",
        "",
        "schedule = LambdaLR(optimizer, factor)",
        "# after each step: optimizer.step(); schedule.step()",
    ]
    return lines
