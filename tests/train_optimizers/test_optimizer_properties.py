"""What must hold for LARS and SGD whatever the numbers."""

from __future__ import annotations

import io
import math

import pytest
import torch
import torch._dynamo.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lars_sweep.errors import TrainError
from lars_sweep.train import LARS, SGD

pytestmark = pytest.mark.usefixtures("size_of_sets")
SHAPES = [(8, 3, 3, 3), (20, 30), (30,)]


def weights(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(s, generator=generator).to(dtype).requires_grad_() for s in SHAPES]


def gradients(step: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(s, generator=generator).to(dtype) for s in SHAPES]


def take_steps(
    optimizer: torch.optim.Optimizer, steps: range | list[int], scale=1.0
) -> list[Tensor]:
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for step in steps:
        for p, g in zip(params, gradients(step, params[0].dtype), strict=True):
            p.grad = g * scale
        optimizer.step()
    return [p.detach() for p in params]


def same_bits(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@given(
    scale=st.floats(1e-12, 1e12),
    variant=st.sampled_from(["paper", "no_decay_in_norm"]),
    granularity=st.sampled_from(["layer", "network"]),
    momentum_form=st.sampled_from(["inside", "outside"]),
)
@settings(deadline=None, max_examples=25)
def test_the_scale_of_the_gradient_does_not_matter_without_weight_decay(scale, **options):
    one = LARS(weights(torch.float64), 8.0, weight_decay=0.0, **options)
    other = LARS(weights(torch.float64), 8.0, weight_decay=0.0, **options)
    expected = take_steps(one, range(6))
    torch.testing.assert_close(take_steps(other, range(6), scale), expected, rtol=1e-9, atol=1e-12)


@given(
    octaves=st.integers(-6, 6),
    variant=st.sampled_from(["paper", "no_decay_in_norm"]),
    granularity=st.sampled_from(["layer", "network", "frozen"]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(deadline=None, max_examples=25)
def test_gamma_and_eta_are_one_number(octaves, dtype, **options):
    # PROTOCOL.md 9: nothing excluded, no zero norm, not clip. Powers of two are exact.
    factor = 2.0**octaves
    one = LARS(weights(dtype), 8.0, 0.9, 5e-4, 0.001, **options)
    other = LARS(weights(dtype), 8.0 * factor, 0.9, 5e-4, 0.001 / factor, **options)
    assert same_bits(take_steps(one, range(20)), take_steps(other, range(20)))


def test_gamma_and_eta_are_not_one_number_in_the_clip_form():
    one = LARS(weights(), 0.01, trust_coefficient=0.01, variant="clip")
    other = LARS(weights(), 0.02, trust_coefficient=0.005, variant="clip")
    assert not same_bits(take_steps(one, range(3)), take_steps(other, range(3)))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: SGD(p, 0.1, 0.9, 5e-4),
        lambda p: LARS(p, 8.0),
        lambda p: LARS(p, 8.0, granularity="frozen"),
        lambda p: LARS(p, 8.0, granularity="network", nesterov=True),
    ],
)
def test_state_dict_round_trip_continues_bit_for_bit(make):
    whole = take_steps(make(weights()), range(8))
    first = make(weights())
    half = take_steps(first, range(4))
    file = io.BytesIO()
    torch.save({"weights": half, "optimizer": first.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second = make([w.requires_grad_() for w in saved["weights"]])
    second.load_state_dict(saved["optimizer"])
    assert same_bits(take_steps(second, range(4, 8)), whole)


def test_zero_norm_events_survive_a_state_dict():
    zero = [torch.zeros(3, requires_grad=True)]
    first = LARS(zero, 0.0)
    for _ in range(2):
        zero[0].grad = torch.ones(3)
        first.step()
    second = LARS(zero, 0.0)
    second.load_state_dict(first.state_dict())
    second.step()
    assert (first.zero_norm_events, second.zero_norm_events) == (2, 3)


@pytest.mark.parametrize(("rule", "rate"), [("one", 1.0), ("zero", 0.0)])
@pytest.mark.parametrize("which", ["weight", "gradient"])
def test_zero_norm_rule(rule, rate, which):
    w = torch.zeros(4) if which == "weight" else torch.ones(4)
    g = torch.ones(4) if which == "weight" else torch.zeros(4)
    w.requires_grad_()
    w.grad = g
    optimizer = LARS([w], 2.0, weight_decay=0.5, zero_norm=rule)
    expected = w.detach() - 2.0 * rate * (g + 0.5 * w.detach())
    optimizer.step()
    torch.testing.assert_close(w.detach(), expected)
    assert optimizer.local_rates()[w].item() == rate
    assert optimizer.zero_norm_events == 1


def rates_of_one_step(**options) -> list[float]:
    params = weights(torch.float64)
    optimizer = LARS(params, 0.5, 0.9, 0.1, 0.02, **options)
    take_steps(optimizer, range(1))
    return [optimizer.local_rates()[p].item() for p in params]


def norms() -> list[tuple[float, float]]:
    return [
        (w.detach().double().norm().item(), g.double().norm().item())
        for w, g in zip(weights(torch.float64), gradients(0, torch.float64), strict=True)
    ]


def test_local_rates_of_the_variants():
    paper = [0.02 * w / (g + 0.1 * w) for w, g in norms()]
    bare = [0.02 * w / g for w, g in norms()]
    assert rates_of_one_step() == pytest.approx(paper)
    assert rates_of_one_step(granularity="frozen") == pytest.approx(paper)
    assert rates_of_one_step(variant="no_decay_in_norm") == pytest.approx(bare)
    assert rates_of_one_step(variant="clip") == pytest.approx(bare)
    w, g = (math.hypot(*column) for column in zip(*norms(), strict=True))
    together = 0.02 * w / (g + 0.1 * w)
    assert rates_of_one_step(granularity="network") == pytest.approx([together] * 3)


@pytest.mark.parametrize("momentum_form", ["inside", "outside"])
@pytest.mark.parametrize("lr", [0.5, 0.021])
def test_clip_takes_the_smaller_of_gamma_and_the_local_rate(momentum_form, lr):
    params = weights(torch.float64)
    optimizer = LARS(params, lr, 0.9, 0.1, 0.02, variant="clip", momentum_form=momentum_form)
    after = take_steps(optimizer, range(1))
    for w, g, (wn, gn), a in zip(
        weights(torch.float64), gradients(0, torch.float64), norms(), after, strict=True
    ):
        expected = w - min(lr, 0.02 * wn / gn) * (g + 0.1 * w)
        torch.testing.assert_close(a, expected.detach())


def test_frozen_rates_stay_those_of_the_first_step():
    params = weights()
    optimizer = LARS(params, 8.0, granularity="frozen")
    take_steps(optimizer, range(1))
    first = [rate.item() for rate in optimizer.local_rates().values()]
    take_steps(optimizer, range(1, 5))
    assert [rate.item() for rate in optimizer.local_rates().values()] == first
    layer = LARS(weights(), 8.0)
    take_steps(layer, range(5))
    assert [rate.item() for rate in layer.local_rates().values()] != first


def test_excluded_parameters_take_plain_momentum_steps_of_their_own():
    w, b = weights(torch.float64)[1:]
    groups = [{"params": [w]}, {"params": [b], "excluded": True, "weight_decay": 0.0, "lr": 0.3}]
    plain = b.detach().clone().requires_grad_()
    lars, sgd = LARS(groups, 8.0), SGD([plain], 0.3)
    for step in range(4):
        w.grad, b.grad = gradients(step, torch.float64)[1:]
        plain.grad = b.grad.clone()
        lars.step()
        sgd.step()
    torch.testing.assert_close(b, plain, rtol=0, atol=0)
    assert list(lars.local_rates()) == [w]


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1), lambda p: LARS(p, 8.0)])
def test_gradients_are_left_alone_and_parameters_without_one_too(make):
    params = weights()
    optimizer = make(params)
    for p, g in zip(params[:2], gradients(0)[:2], strict=True):
        p.grad = g.clone()
    before = [p.detach().clone() for p in params]
    optimizer.step()
    assert same_bits([p.grad for p in params[:2]], gradients(0)[:2])
    assert params[2].grad is None
    assert torch.equal(params[2].detach(), before[2])
    assert not torch.equal(params[0].detach(), before[0])


@pytest.mark.parametrize("make", [lambda p: SGD(p, 0.1), lambda p: LARS(p, 8.0)])
def test_layout_of_the_weights_does_not_matter(make):
    # A kernel that walks raw memory must not mix up two layouts of weight and gradient.
    plain = take_steps(make(weights()), range(3))
    params = weights()
    params[0] = params[0].detach().to(memory_format=torch.channels_last).requires_grad_()
    mixed = take_steps(make(params), range(3))
    torch.testing.assert_close(mixed, plain, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", [SGD, LARS])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum_form", ["inside", "outside"])
def test_learning_rate_as_a_tensor_gives_the_same_steps(optimizer, nesterov, momentum_form):
    options = {"nesterov": nesterov, "momentum_form": momentum_form}
    number = take_steps(optimizer(weights(), 0.25, **options), range(5))
    tensor = take_steps(optimizer(weights(), torch.tensor(0.25), **options), range(5))
    torch.testing.assert_close(tensor, number, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("optimizer", [SGD, LARS])
def test_a_compiled_step_is_one_graph_that_survives_a_changed_rate(optimizer):
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    eager = optimizer(weights(), torch.tensor(0.0))
    compiled = optimizer(weights(), torch.tensor(0.0))
    steps = {eager: eager.step}
    steps[compiled] = torch.compile(compiled.step, backend=counter, fullgraph=True)
    graphs = []
    for number in range(6):
        for which, step in steps.items():
            (group,) = which.param_groups
            group["lr"].fill_(0.1 * number)
            for p, g in zip(group["params"], gradients(number), strict=True):
                p.grad = g
            step()
        graphs.append(counter.frame_count)
    # The first steps make the state; from then on nothing is compiled again.
    assert graphs[2] == graphs[-1]
    expected = eager.param_groups[0]["params"]
    torch.testing.assert_close(compiled.param_groups[0]["params"], expected, rtol=1e-5, atol=1e-6)


def test_half_precision_weights_take_steps():
    params = weights(torch.bfloat16)
    after = take_steps(LARS(params, 8.0), range(3))
    reference = take_steps(LARS(weights(torch.float64), 8.0), range(3))
    for a, r in zip(after, reference, strict=True):
        torch.testing.assert_close(a.double(), r, rtol=0.05, atol=0.05)


def test_closure_and_named_parameters_work_as_in_torch():
    model = torch.nn.Linear(3, 2)
    optimizer = LARS(model.named_parameters(), 0.1)

    def closure() -> float:
        optimizer.zero_grad()
        loss = model(torch.ones(4, 3)).square().sum()
        loss.backward()
        return loss.item()

    assert optimizer.step(closure) > optimizer.step(closure)
    assert optimizer.param_groups[0]["param_names"] == ["weight", "bias"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1.0}, "LARS: lr: got -1.0; allowed: a number of at least 0"),
        ({"lr": math.nan}, "LARS: lr: got nan"),
        ({"momentum": 1.0}, "momentum: got 1.0; allowed: 0 <= momentum < 1"),
        ({"trust_coefficient": -0.1}, "trust_coefficient: got -0.1"),
        ({"variant": "larc"}, "variant: got 'larc'; allowed: paper, no_decay_in_norm, clip"),
        ({"granularity": "all"}, "granularity: got 'all'; allowed: layer, network, frozen"),
        ({"zero_norm": "skip"}, "zero_norm: got 'skip'; allowed: one, zero"),
        ({"momentum_form": "torch"}, "momentum_form: got 'torch'; allowed: inside, outside"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov: got True with momentum 0"),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(TrainError, match=message):
        LARS(weights(), **{"lr": 1.0, **options})


@pytest.mark.parametrize("kind", [SGD, LARS])
def test_without_momentum_a_step_is_the_rate_times_the_gradient(kind):
    weight = torch.nn.Parameter(torch.full((3, 2), 2.0))
    optimizer = kind([weight], lr=0.5, momentum=0.0, weight_decay=0.0)
    for _ in range(2):
        before = weight.detach().clone()
        weight.grad = torch.ones(3, 2)
        rate = 0.5 if kind is SGD else 0.5 * 0.001 * before.norm() / weight.grad.norm()
        optimizer.step()
        torch.testing.assert_close(weight.detach(), before - rate * weight.grad)
