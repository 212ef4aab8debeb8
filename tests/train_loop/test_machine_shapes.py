"""DESIGN.md, what must always be true, 1 and 2, on real gloo worlds of 2 and 4 processes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from loop_kit import Trace, disagreement, in_world, run_traced, same_bits
from planted_faults import FAULTS
from rank_jobs import (
    ACCUMULATION,
    FAULTY,
    LONG,
    SHORT,
    any_shape,
    load,
    options,
    signals_and_failures,
)

from lars_sweep.spec.trainer import Signal
from lars_sweep.train import TorchTrainer

SAME = 1e-9


@pytest.fixture(scope="module", params=[2, 4])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp(f"world{request.param}")
    in_world(request.param, any_shape, directory)
    return directory


def alone(trial: object, directory: Path, dtype: torch.dtype, **more: object) -> Trace:
    return run_traced(TorchTrainer(**options(dtype), **more), trial, directory)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    return alone(LONG, tmp_path_factory.mktemp("alone"), torch.float64)


def test_accumulation_is_the_same_mathematics(reference: Trace, tmp_path: Path) -> None:
    accumulated = alone(LONG, tmp_path, torch.float64, **ACCUMULATION)
    assert 0 < disagreement(reference, accumulated) < SAME


def test_ranks_are_the_same_mathematics(reference: Trace, world: Path) -> None:
    assert 0 < disagreement(reference, load(world, "long")) < SAME


def test_ranks_are_the_same_mathematics_in_float32(world: Path, tmp_path: Path) -> None:
    assert disagreement(alone(SHORT, tmp_path, torch.float32), load(world, "short")) < 1e-5


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(fault: str, world: Path, tmp_path: Path) -> None:
    right = alone(FAULTY, tmp_path, torch.float64)
    assert disagreement(right, load(world, "faultless")) < SAME
    assert disagreement(right, load(world, fault)) > 1000 * SAME


def test_interrupted_ranks_end_with_the_same_bits(world: Path) -> None:
    resumed, starts = load(world, "resumed")
    assert starts == [0, 3, 4, 9]
    assert same_bits(resumed, load(world, "undisturbed"))


def test_all_ranks_stop_together(tmp_path: Path) -> None:
    in_world(2, signals_and_failures, tmp_path)
    assert load(tmp_path, "statuses") == ("interrupted", Signal.PREEMPTED, 5, "ok")
    assert "another rank failed at step 6" in load(tmp_path, "failed")
