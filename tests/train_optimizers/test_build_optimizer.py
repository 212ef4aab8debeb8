"""The optimizer that a trial names."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from lars_sweep.errors import TrainError
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train import LARS, SGD
from lars_sweep.train.models import build_model
from lars_sweep.train.optimizers import build_optimizer, set_lr


def trial(**fields: object) -> TrialSpec:
    defaults = {
        "model": "small_resnet", "dataset": "digits", "data_id": "0", "samples": 1000,
        "optimizer": "sgd", "global_batch": 10, "bn_batch": 10, "base_lr": 8.0, "seed": 0,
        "epochs": 1.0, "weight_decay": 0.001, "momentum": 0.8,
    }  # fmt: skip
    return TrialSpec(**{**defaults, **fields})


LARS_FIELDS = {
    "optimizer": "lars", "lars_variant": "clip", "granularity": "frozen", "zero_norm": "zero",
    "trust_coefficient": 0.002, "momentum_form": "outside", "nesterov": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build_model("small_resnet", 10, seed=1)


def test_lars_takes_every_field_of_the_trial(model):
    optimizer = build_optimizer(trial(**LARS_FIELDS), model)
    assert isinstance(optimizer, LARS)
    (group,) = optimizer.param_groups
    expected = {
        "lr": 8.0, "momentum": 0.8, "weight_decay": 0.001, "trust_coefficient": 0.002,
        "variant": "clip", "granularity": "frozen", "zero_norm": "zero",
        "momentum_form": "outside", "nesterov": True, "excluded": False,
    }  # fmt: skip
    assert {name: group[name] for name in expected} == expected
    assert group["param_names"] == [name for name, _ in model.named_parameters()]


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw", "lamb"])
def test_biases_and_batch_norm_can_be_excluded(model, optimizer):
    fields = LARS_FIELDS if optimizer == "lars" else {"optimizer": optimizer}
    t = trial(**fields, exclusions="bias_bn", lr_excluded=0.4)
    built = build_optimizer(t, model)
    kept, excluded = built.param_groups
    assert all(p.ndim > 1 for p in kept["params"])
    assert all(p.ndim == 1 for p in excluded["params"])
    assert sum(len(g["params"]) for g in built.param_groups) == len(list(model.parameters()))
    assert (kept["weight_decay"], excluded["weight_decay"]) == (0.001, 0.0)
    assert (kept["lr"], excluded["lr"]) == (8.0, pytest.approx(0.4))
    set_lr(built, 2.0, 0.1)
    assert (kept["lr"], excluded["lr"]) == (2.0, 0.1)


@pytest.mark.parametrize("optimizer", ["sgd", "lars", "adamw", "lamb"])
def test_every_optimizer_lowers_a_loss(model, optimizer):
    fields = {"trust_coefficient": 0.01} if optimizer == "lars" else {}
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
    t = trial(optimizer=optimizer, **fields, base_lr=0.5 if optimizer == "lars" else 0.01)
    built = build_optimizer(t, net)
    x, y = torch.randn(32, 16), torch.arange(32) % 2
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(net(x), y)
        built.zero_grad()
        loss.backward()
        built.step()
        losses.append(loss.item())
    assert losses[-1] < 0.97 * losses[0]


def test_first_rate_is_that_of_the_warm_up(model):
    t = trial(warmup_steps=5, warmup_start=0.25)
    optimizer = build_optimizer(t, model)
    assert isinstance(optimizer, SGD)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_a_rate_held_as_a_tensor_is_filled_in_place():
    rate = torch.tensor(1.0)
    optimizer = SGD([torch.ones(2, requires_grad=True)], rate)
    set_lr(optimizer, 0.5, 0.1)
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == 0.5


def test_lamb_without_its_library_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(TrainError, match="pip install pytorch-optimizer"):
        build_optimizer(trial(optimizer="lamb"), model)


def test_lars_without_a_trust_coefficient_is_refused(model):
    with pytest.raises(TrainError, match="trust_coefficient: got None"):
        build_optimizer(trial(optimizer="lars"), model)
