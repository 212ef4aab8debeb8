"""Networks of the user's own."""

from __future__ import annotations

import textwrap

import pytest
import torch
from torch import nn

from lars_sweep.errors import TrainError
from lars_sweep.train.dropout import GroupDropout
from lars_sweep.train.layers import GroupBatchNorm2d
from lars_sweep.train.models import build_model
from lars_sweep.train.models.user import convert_layers

SOURCE = """
    import torch
    from torch import nn

    def net(*, num_classes, in_channels, image_size):
        width = image_size or 4
        return nn.Sequential(
            nn.Conv2d(in_channels, width, 3),
            nn.BatchNorm2d(width, eps=1e-3, momentum=0.2),
            nn.Dropout(0.25),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(width, num_classes),
        )

    def number(**shape):
        return 3

    def broken(**shape):
        raise ValueError("no such width")

    NOT_A_FUNCTION = 1
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of an importable module with a user's networks."""
    name = "networks_of_a_user"
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    return name


def test_layers_are_replaced_by_their_group_forms(module):
    model = build_model(f"{module}:net", 7, in_channels=1, image_size=6, seed=1)
    bn, drop1, drop2 = model[1], model[2], model[5]
    assert isinstance(bn, GroupBatchNorm2d)
    assert (bn.num_features, bn.eps, bn.momentum) == (6, 1e-3, 0.2)
    assert isinstance(drop1, GroupDropout)
    assert (drop1.p, drop1.layer, drop2.p, drop2.layer) == (0.25, 0, 0.5, 1)
    assert model(torch.randn(2, 1, 8, 8)).shape == (2, 7)


def test_weights_depend_on_the_seed_alone_and_torchs_generator_is_put_back(module):
    def weight(seed: int | None) -> torch.Tensor:
        return build_model(f"{module}:net", 7, seed=seed)[0].weight

    before = torch.random.get_rng_state()
    a, b, c = weight(1), weight(1), weight(2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert not torch.equal(weight(None), weight(None))


def test_he_control_of_a_users_network(module):
    weight = build_model(f"{module}:net", 7, image_size=400, init="he", seed=1)[6].weight
    assert weight.std().item() == pytest.approx((2 / 400) ** 0.5, rel=0.1)


def test_conversion_keeps_weights_and_running_statistics():
    net = nn.Sequential(nn.BatchNorm2d(3))
    x = torch.randn(8, 3, 4, 4)
    net(x)
    nn.init.normal_(net[0].weight)
    expected = net.eval()(x)
    torch.testing.assert_close(convert_layers(net).eval()(x), expected)


def test_a_layer_used_twice_stays_one_layer():
    shared = nn.BatchNorm2d(3)
    net = convert_layers(nn.Sequential(shared, nn.ReLU(), shared))
    assert net[0] is net[2]


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(3),
        nn.SyncBatchNorm(3),
        nn.Dropout2d(0.5),
        nn.AlphaDropout(0.5),
        nn.BatchNorm2d(3, track_running_stats=False),
        nn.BatchNorm2d(3, momentum=None),
    ],
)
def test_layers_without_a_group_form_are_refused_by_name(layer):
    with pytest.raises(TrainError, match=r"mine: layer body\.1: got .*; allowed: BatchNorm2d"):
        convert_layers(nn.ModuleDict({"body": nn.Sequential(nn.ReLU(), layer)}), "mine")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("missing", "has no function 'missing'; it has: broken, net, number"),
        ("NOT_A_FUNCTION", "has no function 'NOT_A_FUNCTION'"),
        ("number", "returned int; allowed: a torch.nn.Module"),
        ("broken", "in_channels=3, image_size=None failed: ValueError: no such width"),
    ],
)
def test_what_cannot_be_used_is_refused(module, function, message):
    with pytest.raises(TrainError, match=message):
        build_model(f"{module}:{function}", 7)


def test_a_module_that_cannot_be_imported_is_refused_with_the_next_step():
    with pytest.raises(TrainError, match=r"cannot import no_such_module: .*PYTHONPATH"):
        build_model("no_such_module:net")
