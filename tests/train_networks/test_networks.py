"""The paper's networks: sizes, shapes, initial weights."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest
import torch
import torch._dynamo.testing
from torch import Tensor, nn

from lars_sweep.errors import TrainError
from lars_sweep.train.atoms import Atoms
from lars_sweep.train.dropout import GroupDropout
from lars_sweep.train.layers import set_atoms
from lars_sweep.train.models import NETWORKS, build_model, default_image_size, training_loss
from lars_sweep.train.models.fillers import fan_in
from lars_sweep.train.models.lrn import LocalResponseNorm
from lars_sweep.train.running_statistics import RunningStatistics

TABLE2 = Path(__file__).parents[2] / "analysis" / "reference" / "table2.csv"
SMALL = [name for name in NETWORKS if name.startswith("small_")]
FULL = [name for name in NETWORKS if name not in SMALL]


def on_meta(name: str, num_classes: int = 1000, in_channels: int = 3) -> nn.Module:
    with torch.device("meta"):
        return NETWORKS[name].construct(
            num_classes=num_classes,
            in_channels=in_channels,
            image_size=NETWORKS[name].image_sizes[0],
        )


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("alexnet", 60_965_224),
        ("alexnet_bn", 60_965_224),
        ("googlenet", 6_998_552),
        ("googlenet_aux", 13_378_280),
        ("resnet50", 25_557_032),
        ("resnet50_v15", 25_557_032),
    ],
)
def test_parameter_counts(name, count):
    assert parameters(on_meta(name)) == count


@pytest.mark.parametrize("name", FULL)
def test_output_shapes_of_full_size_networks(name):
    size = default_image_size(name)
    model, x = on_meta(name), torch.empty(2, 3, size, size, device="meta")
    assert model.eval()(x).shape == (2, 1000)
    outputs = model.train()(x)
    if name == "googlenet_aux":
        assert [tuple(o.shape) for o in outputs] == [(2, 1000)] * 3
    else:
        assert outputs.shape == (2, 1000)


def drawn(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().double() for name, p in model.named_parameters()}


def activations(name: str, layers: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    model, seen = on_meta(name), {}
    for layer in layers:
        model.get_submodule(layer).register_forward_hook(
            lambda module, inputs, output, layer=layer: seen.update({layer: tuple(output.shape)})
        )
    size = default_image_size(name)
    model.eval()(torch.empty(1, 3, size, size, device="meta"))
    return seen


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "alexnet_bn",
            {"conv1": (1, 96, 55, 55), "conv2": (1, 256, 27, 27), "conv5": (1, 256, 13, 13)},
        ),
        (
            "googlenet",
            {
                "conv1": (1, 64, 112, 112),
                "conv2": (1, 192, 56, 56),
                "inceptions.3b": (1, 480, 28, 28),
                "inceptions.4e": (1, 832, 14, 14),
                "inceptions.5b": (1, 1024, 7, 7),
            },
        ),
        ("resnet50", {"stages.0.0.conv1": (1, 64, 56, 56), "stages.3.0.conv1": (1, 512, 7, 7)}),
        ("resnet50_v15", {"stages.3.0.conv1": (1, 512, 14, 14), "stages.3": (1, 2048, 7, 7)}),
    ],
)
def test_sides_follow_caffes_pooling(name, expected):
    assert activations(name, expected) == expected


def test_relu_comes_before_lrn_and_lrn_before_pooling():
    model = build_model("small_alexnet", 10, in_channels=1, seed=1).eval()
    seen: list[Tensor] = []
    model.lrn.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    model(torch.randn(2, 1, 28, 28))
    assert [tuple(x.shape) for x in seen] == [(2, 16, 28, 28), (2, 32, 14, 14)]
    assert all(x.min() == 0 for x in seen)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_lrn_is_torchs_which_divides_alpha_by_the_local_size_as_caffe_does(memory_format):
    x = 30 * torch.randn(2, 16, 3, 3, dtype=torch.float64).to(memory_format=memory_format)
    theirs = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
    y = LocalResponseNorm()(x)
    torch.testing.assert_close(y, theirs(x), rtol=1e-12, atol=1e-12)
    assert y.is_contiguous(memory_format=memory_format)
    squares = sum(nn.functional.pad(x, (0, 0, 0, 0, 2, 2))[:, i : i + 16] ** 2 for i in range(5))
    torch.testing.assert_close(y, x / (1 + 1e-4 / 5 * squares) ** 0.75, rtol=1e-12, atol=1e-12)


def test_lrn_in_bfloat16_rounds_its_result_only():
    x = 20 * torch.randn(2, 16, 3, 3).bfloat16()
    torch.testing.assert_close(
        LocalResponseNorm()(x), LocalResponseNorm()(x.float()).bfloat16(), rtol=0, atol=0
    )


def test_batch_norm_of_alexnet_bn_is_on_the_inputs_of_conv2_to_conv5_without_affine():
    model = on_meta("alexnet_bn")
    norms = {n: m for n, m in model.named_children() if n.startswith("bn")}
    assert {n: m.num_features for n, m in norms.items()} == {
        "bn2": 96, "bn3": 256, "bn4": 384, "bn5": 384,
    }  # fmt: skip
    assert all(m.weight is None and m.eps == 1e-4 and m.momentum == 0.1 for m in norms.values())


def test_table_2():
    # The paper's suffixes are swapped: its ".b" are weights, ".w" biases.
    values = drawn(build_model("alexnet_bn", seed=1))
    sigma = dict.fromkeys(["conv1", "conv2", "conv3", "conv4", "conv5", "fc8"], 0.01)
    sigma |= dict.fromkeys(["fc6", "fc7"], 0.005)
    rows = list(csv.DictReader(TABLE2.read_text().splitlines()))
    assert len(rows) == 16
    for row in rows:
        layer, suffix = row["parameter_as_printed"].split(".")
        printed = float(row["weight_norm"])
        if suffix == "b":
            weight = values[f"{layer}.weight"]
            expected = sigma[layer] * math.sqrt(weight.numel())
            assert expected == pytest.approx(printed, rel=0.004)
            assert abs(weight.norm() - expected) < 4 * sigma[layer] / math.sqrt(2)
        else:
            bias = values[f"{layer}.bias"]
            assert len(set(bias.tolist())) == 1
            assert float(f"{bias.norm():.2g}") == pytest.approx(printed, rel=0.025)


def test_biases_of_bvlc_alexnet():
    model = build_model("small_alexnet", 10, seed=1)
    biases = [p[0].item() for name, p in drawn(model).items() if name.endswith("bias")]
    assert biases == pytest.approx([0, 0.1, 0, 0.1, 0.1, 0.1, 0.1, 0])


@pytest.mark.parametrize("name", ["small_alexnet", "small_alexnet_bn"])
@pytest.mark.parametrize("size", [8, 28, 32])
def test_small_alexnets_keep_bvlcs_gains(name, size):
    model = build_model(name, 10, in_channels=1, image_size=size, seed=2)
    expected = [0.19, 0.35, 0.48, 0.42, 0.42, 0.48, 0.32, 0.64]
    weights = [p for name, p in drawn(model).items() if name.endswith("weight")]
    for weight, gain in zip(weights, expected, strict=True):
        assert weight.std() * math.sqrt(fan_in(weight)) == pytest.approx(
            gain, abs=0.005 + 4 * gain / math.sqrt(2 * weight.numel())
        )


@pytest.mark.parametrize("name", SMALL)
def test_he_control_changes_weights_only(name):
    paper = drawn(build_model(name, 10, seed=1))
    he = drawn(build_model(name, 10, seed=1, init="he"))
    for key, p in he.items():
        if p.ndim > 1:
            std = p.pow(2).mean().sqrt() * math.sqrt(fan_in(p))
            assert std == pytest.approx(math.sqrt(2), rel=4 / math.sqrt(2 * p.numel()))
        else:
            assert torch.equal(p, paper[key])


def test_googlenet_starts_from_caffes_xavier():
    model = build_model("googlenet_aux", seed=1)
    for name, p in drawn(model).items():
        if p.ndim > 1:
            bound = math.sqrt(3 / fan_in(p))
            assert p.abs().max() <= bound
            assert p.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        else:
            value = 0.0 if "classifier" in name else 0.2
            torch.testing.assert_close(p, torch.full_like(p, value), rtol=1e-7, atol=0)


def test_resnet_starts_from_msra_with_ones_and_zeros_in_batch_norm():
    model = build_model("resnet50", seed=1)
    for name, p in drawn(model).items():
        if p.ndim > 1:
            expected = math.sqrt(2 / fan_in(p))
            assert p.std() == pytest.approx(expected, rel=4 / math.sqrt(2 * p.numel()))
        else:
            assert torch.all(p == (0 if name.endswith("bias") else 1))


def test_initial_weights_are_a_function_of_seed_and_parameter_name():
    torch.manual_seed(1)
    a = build_model("small_resnet", 10, seed=5).state_dict()
    torch.manual_seed(2)
    b = build_model("small_resnet", 10, seed=5).state_dict()
    other_head = build_model("small_resnet", 7, seed=5).state_dict()
    other_seed = build_model("small_resnet", 10, seed=6).state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert torch.equal(a["conv1.weight"], other_head["conv1.weight"])
    assert not torch.equal(a["conv1.weight"], other_seed["conv1.weight"])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("in_channels", [1, 3])
def test_output_shapes_of_small_networks(name, in_channels):
    for size in NETWORKS[name].image_sizes:
        model = build_model(name, 7, in_channels=in_channels, image_size=size, seed=1)
        for samples in (2, 5):
            assert model(torch.randn(samples, in_channels, size, size)).shape == (samples, 7)


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_learn_a_fixed_batch(name):
    model = build_model(name, 4, in_channels=1, init="he", seed=1)
    x = torch.randn(16, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(16) % 4
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    statistics = RunningStatistics(model)
    losses = []
    for step in range(20):
        set_atoms(model, Atoms(seed=1, step=step, first_group=0, groups=2))
        loss = training_loss(model(x), labels, reduction="mean")
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None for p in model.parameters())
        optimizer.step()
        statistics.fold()
        losses.append(loss.item())
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def test_auxiliary_losses_weigh_three_tenths():
    logits = [torch.randn(6, 5, dtype=torch.float64) for _ in range(3)]
    labels = torch.arange(6) % 5
    main, first, second = (nn.functional.cross_entropy(o, labels, reduction="sum") for o in logits)
    expected = main + 0.3 * first + 0.3 * second
    torch.testing.assert_close(training_loss(tuple(logits), labels), expected)
    torch.testing.assert_close(training_loss(logits[0], labels), main)


def test_every_dropout_layer_has_its_own_number():
    model = on_meta("googlenet_aux")
    assert sum(isinstance(m, GroupDropout) for m in model.modules()) == 3
    built = build_model("small_alexnet", 10, seed=1)
    numbers = [m.layer for m in built.modules() if isinstance(m, GroupDropout)]
    assert numbers == [0, 1]


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_compile_to_one_graph_for_all_steps(name):
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounter()
    model = build_model(name, 10, in_channels=1, seed=1)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for step in range(3):
        set_atoms(model, Atoms(seed=1, step=step, first_group=step, groups=2))
        compiled(torch.randn(4, 1, 28, 28))
    assert counter.frame_count == 1


def test_unknown_names_and_sizes_are_refused_with_what_is_allowed():
    with pytest.raises(TrainError, match="got 'alexnett'; allowed: alexnet, alexnet_bn"):
        build_model("alexnett")
    with pytest.raises(TrainError, match="small_resnet: image_size: got 8; allowed: 28, 32"):
        build_model("small_resnet", image_size=8)
