"""The optimizer that a trial names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lars_sweep.errors import TrainError
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.optimizers.lars import LARS
from lars_sweep.train.optimizers.sgd import SGD
from lars_sweep.train.schedules import excluded_learning_rate, learning_rate


def build_optimizer(trial: TrialSpec, model: nn.Module) -> Optimizer:
    """The trial's optimizer over all parameters of ``model``, at the LR of step 0.

    With ``exclusions="bias_bn"`` parameters of at most one dimension (biases, BatchNorm scales and
    shifts) form a group of their own: no local rate, no weight decay, their own learning rate.

    Raises:
        TrainError: the optimizer's library is missing, or an option does not fit it.
    """
    groups = _groups(trial, model)
    lr = learning_rate(trial, 0)
    match trial.optimizer:
        case "sgd":
            optimizer: Optimizer = SGD(
                groups,
                lr,
                trial.momentum,
                trial.weight_decay,
                momentum_form=trial.momentum_form,
                nesterov=trial.nesterov,
            )
        case "lars":
            optimizer = _lars(trial, groups, lr)
        case "adamw":
            optimizer = torch.optim.AdamW(
                groups, lr, betas=(trial.momentum, 0.999), weight_decay=trial.weight_decay
            )
        case "lamb":
            optimizer = _lamb(trial, groups, lr)
    set_lr(optimizer, lr, excluded_learning_rate(trial, 0))
    return optimizer


def set_lr(optimizer: Optimizer, lr: float, excluded_lr: float) -> None:
    """Set γ for the coming step; tensors are filled in place, so that nothing recompiles."""
    for group in optimizer.param_groups:
        value = excluded_lr if group.get("excluded", False) else lr
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


def _groups(trial: TrialSpec, model: nn.Module) -> list[dict[str, Any]]:
    named = list(model.named_parameters())
    if trial.exclusions == "none":
        return [{"params": named}]
    kept = [(name, p) for name, p in named if p.ndim > 1]
    excluded = [(name, p) for name, p in named if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": kept}]
    if excluded:
        groups.append({"params": excluded, "excluded": True, "weight_decay": 0.0})
    return groups


def _lars(trial: TrialSpec, groups: list[dict[str, Any]], lr: float) -> LARS:
    if trial.trust_coefficient is None:
        raise TrainError("trial: trust_coefficient: got None; allowed: a number for lars")
    return LARS(
        groups,
        lr,
        trial.momentum,
        trial.weight_decay,
        trial.trust_coefficient,
        variant=trial.lars_variant or "paper",
        granularity=trial.granularity or "layer",
        zero_norm=trial.zero_norm or "one",
        momentum_form=trial.momentum_form,
        nesterov=trial.nesterov,
    )


def _lamb(trial: TrialSpec, groups: list[dict[str, Any]], lr: float) -> Optimizer:
    try:
        from pytorch_optimizer import Lamb
    except ImportError as error:
        raise TrainError(
            "optimizer lamb: the package pytorch-optimizer is not installed; "
            "install it with: pip install pytorch-optimizer"
        ) from error
    # This library takes unnamed parameters only.
    unnamed = [{**g, "params": [p for _, p in cast(Iterable[Any], g["params"])]} for g in groups]
    return cast(
        Optimizer,
        Lamb(unnamed, lr, betas=(trial.momentum, 0.999), weight_decay=trial.weight_decay),
    )
