"""Norms against float64."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lars_sweep.train.optimizers.norms import norms

pytestmark = pytest.mark.usefixtures("size_of_sets")


def norm(tensor: Tensor) -> Tensor:
    return norms([tensor])[0]


def exact(tensor: Tensor) -> float:
    return sum(float(c.double().square().sum()) for c in tensor.flatten().split(2**20)) ** 0.5


def test_forty_million_elements_within_1e_6_of_float64():
    generator = torch.Generator().manual_seed(1)
    big = torch.randn(4096, 9766, generator=generator)
    assert big.numel() > 40_000_000 - 10_000
    assert norm(big).dtype == torch.float32
    assert norm(big).item() == pytest.approx(exact(big), rel=1e-6)
    # A vector and a shape whose rows do not divide take the same care.
    assert norm(big.view(-1)[:-17]).item() == pytest.approx(exact(big.view(-1)[:-17]), rel=1e-6)


@given(
    shape=st.lists(st.integers(0, 40), min_size=0, max_size=4),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]),
    power=st.integers(-4, 4),
    seed=st.integers(0, 99),
)
@settings(deadline=None, max_examples=60)
def test_any_shape_and_dtype(shape, dtype, power, seed):
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(shape, dtype=torch.float64, generator=generator) * 10.0**power
    tensor = values.to(dtype)
    result = norm(tensor)
    assert result.shape == ()
    assert result.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert result.item() == pytest.approx(exact(tensor), rel=1e-6, abs=1e-30)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_neither_overflows_nor_rounds(dtype):
    tensor = torch.full((100_000,), 300, dtype=dtype)
    assert norm(tensor).item() == pytest.approx(300 * 100_000**0.5, rel=1e-6)


def test_float32_gradients_of_bfloat16_arithmetic():
    """Under autocast they lie on bfloat16's grid: their squares round alike and drift sooner."""
    generator = torch.Generator().manual_seed(1)
    tensor = torch.randn(2**22, generator=generator).bfloat16().float()
    assert norm(tensor).item() == pytest.approx(exact(tensor), rel=1e-6)


def test_channels_last_and_strided_tensors():
    tensor = torch.randn(64, 32, 5, 5)
    assert norm(tensor.to(memory_format=torch.channels_last)).item() == pytest.approx(
        exact(tensor), rel=1e-6
    )
    assert norm(tensor[::2, :, 1:]).item() == pytest.approx(exact(tensor[::2, :, 1:]), rel=1e-6)


def test_norms_of_a_list_are_the_norms():
    tensors = [
        torch.randn(3, 4),
        torch.zeros(0, 5),
        torch.zeros(7),
        torch.randn(2, 9000),
        torch.randn(40_000),
    ]
    assert norms(tensors).tolist() == pytest.approx([exact(t) for t in tensors], rel=1e-6)
