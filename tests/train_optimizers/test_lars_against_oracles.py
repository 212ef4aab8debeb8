"""LARS against Algorithm 1 in float64 and against two libraries where the formulas agree."""

from __future__ import annotations

import pytest
import torch
from lars_oracle import start, worst_error
from torch import Tensor

from lars_sweep.train import LARS, SGD
from lars_sweep.train.optimizers.momentum import Group

pytestmark = pytest.mark.usefixtures("size_of_sets")
# Rounding of float32 over 200 steps measured at 1e-6; a wrong formula is off by 1e-2 and more.
FLOAT32, FLOAT64 = 2e-5, 1e-12


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, FLOAT32), (torch.float64, FLOAT64)]
)
def test_two_hundred_steps_of_algorithm_1(dtype, tolerance):
    assert worst_error(LARS, dtype) < tolerance


class DecayOutsideNorm(LARS):
    """Planted fault: λ = η‖w‖/‖g‖ while the weights do decay."""

    def _step_group(self, group: Group, params: list[Tensor]) -> None:
        super()._step_group({**group, "variant": "no_decay_in_norm"}, params)


class NormOfDecayedGradient(LARS):
    """Planted fault: the norm of g + βw, as on Caffe's CPU path and in optax."""

    def _step_group(self, group: Group, params: list[Tensor]) -> None:
        for p in params:
            p.grad = p.grad + group["weight_decay"] * p
        super()._step_group({**group, "weight_decay": 0.0}, params)


class RateOutsideMomentum(LARS):
    """Planted fault: PyTorch's momentum."""

    def _step_group(self, group: Group, params: list[Tensor]) -> None:
        super()._step_group({**group, "momentum_form": "outside"}, params)


@pytest.mark.parametrize("fault", [DecayOutsideNorm, NormOfDecayedGradient, RateOutsideMomentum])
def test_planted_faults_are_seen(fault):
    assert worst_error(fault, torch.float64) > 10 * FLOAT32


def test_the_path_with_the_learning_rate_as_a_tensor_is_algorithm_1_too():
    class TensorRate(LARS):
        def _step_group(self, group: Group, params: list[Tensor]) -> None:
            rate = torch.tensor(group["lr"], dtype=params[0].dtype)
            super()._step_group({**group, "lr": rate}, params)

    assert worst_error(TensorRate, torch.float32) < FLOAT32
    assert worst_error(TensorRate, torch.float64) < FLOAT64


def falling(step: int) -> float:
    """Positive from the first step on, never constant, exact in optax's float32 as well."""
    return 8 * (1 - step / 128) ** 2


def after(optimizer: torch.optim.Optimizer, gradients: list[list[Tensor]]) -> list[Tensor]:
    """The weights after steps on given gradients with a falling rate."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for step, grads in enumerate(gradients):
        for group in optimizer.param_groups:
            group["lr"] = falling(step)
        for p, g in zip(params, grads, strict=True):
            p.grad = g.clone()
        optimizer.step()
    return [p.detach() for p in params]


def copies(params: list[Tensor]) -> list[Tensor]:
    return [p.detach().clone().requires_grad_() for p in params]


def fixed_gradients(params: list[Tensor], steps: int) -> list[list[Tensor]]:
    generator = torch.Generator().manual_seed(5)
    return [
        [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in params]
        for _ in range(steps)
    ]


def optax_after(params: list[Tensor], gradients: list[list[Tensor]], **options) -> list[Tensor]:
    import jax
    import optax

    with jax.enable_x64(True):
        weights = [jax.numpy.asarray(p.detach().numpy()) for p in params]
        optimizer = optax.lars(falling, **options)
        state = optimizer.init(weights)
        for grads in gradients:
            grads = [jax.numpy.asarray(g.numpy()) for g in grads]
            updates, state = optimizer.update(grads, state, weights)
            weights = optax.apply_updates(weights, updates)
        return [torch.tensor(jax.device_get(w)) for w in weights]


@pytest.mark.parametrize("nesterov", [False, True])
def test_optax_agrees_without_weight_decay(nesterov):
    params = start(torch.float64)
    gradients = fixed_gradients(params, 60)
    ours = after(LARS(copies(params), 0.0, weight_decay=0.0, nesterov=nesterov), gradients)
    theirs = optax_after(params, gradients, weight_decay=0.0, nesterov=nesterov)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_optax_differs_by_the_norm_of_the_sum_where_weights_decay():
    # optax: η‖w‖/‖g + βw‖; the paper: η‖w‖/(‖g‖ + β‖w‖), never larger.
    params, beta = start(torch.float64)[:2], 0.5
    gradients = fixed_gradients(params, 1)
    ours = after(LARS(copies(params), 0.0, weight_decay=beta), gradients)
    theirs = optax_after(params, gradients, weight_decay=beta)
    for p, g, a, b in zip(params, gradients[0], ours, theirs, strict=True):
        w = p.detach()
        factor = (g.norm() + beta * w.norm()) / (g + beta * w).norm()
        assert factor > 1.01
        torch.testing.assert_close(b - w, (a - w) * factor, rtol=1e-9, atol=1e-12)


def test_pytorch_optimizer_agrees_in_the_outside_form_on_matrices():
    # Its vectors take plain SGD steps without decay, and a zero gradient leaves it a decay step.
    from pytorch_optimizer import LARS as Theirs

    params = start(torch.float64)[:2]
    gradients = fixed_gradients(params, 60)
    ours = after(LARS(copies(params), 0.0, momentum_form="outside"), gradients)
    theirs = Theirs(copies(params), weight_decay=5e-4, momentum=0.9, trust_coefficient=1e-3)
    torch.testing.assert_close(ours, after(theirs, gradients), rtol=1e-10, atol=1e-12)
    inside = after(LARS(copies(params), 0.0), gradients)
    assert not torch.allclose(inside[0], ours[0], rtol=1e-4)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_agrees_with_torch_in_the_outside_form(nesterov):
    params = start(torch.float64)
    gradients = fixed_gradients(params, 60)
    options = {"momentum": 0.9, "weight_decay": 0.01, "nesterov": nesterov}
    ours = after(SGD(copies(params), 0.0, momentum_form="outside", **options), gradients)
    theirs = after(torch.optim.SGD(copies(params), **options), gradients)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("optimizer", [SGD, LARS])
def test_outside_form_is_inside_form_with_momentum_rescaled_by_the_rate(optimizer):
    # NVIDIA's MXNet multiplies m by γ_t/γ_{t−1} inside its kernel: MLPerf's settings are "outside".
    class Rescaled(optimizer):
        before = falling(0)

        def _step_group(self, group: Group, params: list[Tensor]) -> None:
            momentum = group["momentum"] * self.before / group["lr"]
            super()._step_group({**group, "momentum": momentum}, params)
            self.before = group["lr"]

    params = start(torch.float64)
    gradients = fixed_gradients(params, 60)
    inside = after(optimizer(copies(params), 0.0), gradients)
    rescaled = after(Rescaled(copies(params), 0.0, momentum_form="outside"), gradients)
    # Outside with m·γ_{t−1}/γ_t is the inside form, so these two agree and plain outside does not.
    torch.testing.assert_close(inside, rescaled, rtol=1e-10, atol=1e-12)
    outside = after(optimizer(copies(params), 0.0, momentum_form="outside"), gradients)
    assert not torch.allclose(inside[0], outside[0], rtol=1e-4)


def test_sgd_in_float32_is_caffes_momentum():
    params = start(torch.float32)
    gradients = fixed_gradients(params, 60)
    ours = after(SGD(copies(params), 0.0, 0.9, 0.01), gradients)
    for p, w, grads in zip(ours, params, zip(*gradients, strict=True), strict=True):
        weight = w.detach().double()
        v = torch.zeros_like(weight)
        for step, g in enumerate(grads):
            v = 0.9 * v + falling(step) * (g.double() + 0.01 * weight)
            weight = weight - v
        torch.testing.assert_close(p.double(), weight, rtol=1e-5, atol=1e-4)
