"""The kernels of large sets on the CPU, and the weight norms that a step leaves for the next."""

from __future__ import annotations

import copy
import threading
import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lars_sweep.train import LARS
from lars_sweep.train.optimizers import host
from lars_sweep.train.optimizers.norms import norms

CONSTANTS = {"momentum": 0.9, "weight_decay": 5e-4}


@pytest.fixture
def every_set_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LEAST", 1)


def normal(sizes: list[int], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, generator=generator) for n in sizes]


def one_step(sizes: list[int]) -> tuple[list[Tensor], list[Tensor], Tensor]:
    params, grads, buffers = (normal(sizes, seed) for seed in range(3))
    rates = [0.01 * (k + 1) for k in range(len(sizes))]
    return params, buffers, host.step(params, grads, buffers, rates, 0.5, **CONSTANTS)


@given(st.lists(st.integers(1, 3 * host.CHUNK), min_size=1, max_size=5))
@settings(deadline=None, max_examples=25)
def test_a_step_is_its_formula_and_leaves_the_norms_of_what_it_wrote(sizes):
    params, buffers, left = one_step(sizes)
    assert torch.equal(left, host.norms(params))
    w, g, v = ([t.double() for t in normal(sizes, seed)] for seed in range(3))
    for k in range(len(sizes)):
        moved = 0.9 * v[k] + 0.01 * (k + 1) * (g[k] + 5e-4 * w[k])
        torch.testing.assert_close(buffers[k].double(), moved, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(params[k].double(), w[k] - 0.5 * moved, rtol=1e-6, atol=1e-6)


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [7, 5 * host.CHUNK + 3, 1, host.CHUNK, 2 * host.CHUNK + 1]
    found = []
    for threads in (1, 2, 3, 40):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        params, buffers, left = one_step(sizes)
        found.append(torch.cat([*params, *buffers, left]))
    assert all(torch.equal(found[0], other) for other in found[1:])


@pytest.mark.parametrize("odd", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_so(odd):
    params, grads, buffers = ([torch.ones(1000), torch.ones(9)] for _ in range(3))
    grads[0][500] = odd
    assert not host.norms(grads)[0].isfinite()
    left = host.step(params, grads, buffers, [0.1, 0.1], 1.0, **CONSTANTS)
    assert left.isfinite().tolist() == [False, True]
    assert (~params[0].isfinite()).nonzero().tolist() == [[500]]


def test_autograd_learns_that_weights_were_written(every_set_is_large):
    weight = torch.ones(8, requires_grad=True)
    weight.grad = torch.ones(8)
    loss = (weight * weight).sum()
    LARS([weight], 0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


class Steps:
    """A LARS whose gradients are the same in every step; it counts the norms that it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.params = [w.requires_grad_() for w in normal([300, 40], 1)]
        self.lars = LARS(self.params, 2.0, trust_coefficient=0.1)
        self.taken = 0
        monkeypatch.setattr("lars_sweep.train.optimizers.lars.norms", self._norms)

    def _norms(self, tensors: list[Tensor]) -> Tensor:
        self.taken += len(tensors)
        return norms(tensors)

    def step(self) -> int:
        """Take one; how many norms it took."""
        for p, g in zip(self.params, normal([300, 40], 2), strict=True):
            p.grad = g
        before = self.taken
        self.lars.step()
        return self.taken - before


@pytest.fixture
def steps(every_set_is_large: None, monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


def test_a_kept_norm_is_not_taken_again(steps: Steps) -> None:
    assert [steps.step() for _ in range(3)] == [4, 2, 2]


def double(params: list[Tensor]) -> None:
    with torch.no_grad():
        params[0].mul_(2)


def double_behind_autograd(params: list[Tensor]) -> None:
    params[0].data.mul_(2)


def other_memory(params: list[Tensor]) -> None:
    params[0].data = params[0].data * 2


@pytest.mark.parametrize("edit", [double, double_behind_autograd, other_memory])
def test_weights_that_somebody_wrote_have_their_norm_taken_anew(steps: Steps, edit) -> None:
    steps.step()
    edit(steps.params)
    assert steps.step() == 4
    assert float(steps.lars.local_rates()[steps.params[0]]) == pytest.approx(
        expected_rate(steps, 0), rel=1e-5
    )
    assert steps.step() == 2


def expected_rate(steps: Steps, index: int) -> float:
    """λ of the step just taken, from the weights before it: w + v."""
    param = steps.params[index]
    before = (param.detach() + steps.lars.state[param]["momentum_buffer"]).double().norm()
    gradient = normal([300, 40], 2)[index].double().norm()
    return float(0.1 * before / (gradient + 5e-4 * before))


def test_an_edit_that_only_changes_other_elements_is_off_for_one_step(steps: Steps) -> None:
    """The limit of what can be seen; the docstring of KeptNorms states it."""
    steps.step()
    steps.params[0].data[:100] = 5.0
    assert steps.step() == 2
    rate = float(steps.lars.local_rates()[steps.params[0]])
    assert rate < 0.8 * expected_rate(steps, 0)
    steps.step()
    rate = float(steps.lars.local_rates()[steps.params[0]])
    assert rate == pytest.approx(expected_rate(steps, 0), rel=1e-5)


def test_copies_and_loaded_states_keep_nothing(steps: Steps) -> None:
    steps.step()
    steps.lars.load_state_dict(copy.deepcopy(steps.lars.state_dict()))
    assert steps.step() == 4
    before = steps.taken
    copy.deepcopy(steps.lars).step()
    assert steps.taken == before + 4


def nothing(param: Tensor) -> None:
    param.data = torch.empty(0)


def half(param: Tensor) -> None:
    param.data = param.data.bfloat16()


@pytest.mark.parametrize("move", [nothing, half])
def test_memory_that_is_no_longer_float32_of_the_host_is_not_looked_at(steps: Steps, move) -> None:
    steps.step()
    move(steps.params[0])
    assert steps.lars._kept.of(steps.params) is None


def test_a_buffer_of_another_kind_is_left_to_torch(steps: Steps) -> None:
    steps.step()
    state = steps.lars.state[steps.params[0]]
    state["momentum_buffer"] = state["momentum_buffer"].bfloat16()
    steps.step()
    assert state["momentum_buffer"].dtype == torch.bfloat16
    state["momentum_buffer"] = torch.zeros(30)
    with pytest.raises(RuntimeError, match="size"):
        steps.step()


def test_groups_and_parameters_without_gradient_keep_their_norms_apart(every_set_is_large):
    params = [w.requires_grad_() for w in normal([300, 40, 50], 1)]
    lars = LARS([{"params": params[:2]}, {"params": params[2:], "weight_decay": 0.0}], 1.0)
    twin = [p.detach().clone().requires_grad_() for p in params]
    momenta: dict[Tensor, Tensor] = {}
    for number in range(6):
        for ours, theirs, g in zip(params, twin, normal([300, 40, 50], number), strict=True):
            ours.grad, theirs.grad = g, g.clone()
        params[number % 3].grad = twin[number % 3].grad = None
        lars.step()
        # The twin is stepped by an optimizer that knows no norm of any weight.
        fresh = LARS([{"params": twin[:2]}, {"params": twin[2:], "weight_decay": 0.0}], 1.0)
        for ours, theirs in zip(params, twin, strict=True):
            if ours in momenta:
                fresh.state[theirs]["momentum_buffer"] = momenta[ours]
        fresh.step()
        momenta = {p: s["momentum_buffer"].clone() for p, s in lars.state.items()}
        assert all(torch.equal(a, b) for a, b in zip(params, twin, strict=True))


def test_an_interrupted_step_leaves_nobody_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    from lars_sweep.train.optimizers import kernels

    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    ended = []

    def slow(*arguments: object) -> None:
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(0.2)
        ended.append(arguments[-2:])

    monkeypatch.setattr(kernels, "steps", slow)
    with pytest.raises(KeyboardInterrupt):
        one_step([6 * host.CHUNK])
    assert len(ended) == 2


def test_more_threads_than_cores_are_left_to_torch(every_set_is_large, monkeypatch) -> None:
    assert host.takes([torch.ones(8)])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 10_000)
    assert not host.takes([torch.ones(8)])


class Wrapper(Tensor):
    """As DTensor: it has no memory of its own."""


def test_sets_that_the_kernels_cannot_read_are_left_to_torch(every_set_is_large):
    wide = torch.ones(8, 8)
    assert host.takes([wide, torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last)])
    for other in (
        wide[:, ::2],
        torch.ones(0),
        wide.double(),
        wide.bfloat16(),
        wide.expand(3, 8, 8),
    ):
        assert not host.takes([wide, other])
