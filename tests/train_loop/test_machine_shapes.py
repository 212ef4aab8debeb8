"""The same mathematics on any shape, the same bits on one: real gloo worlds of 2 and 4 ranks."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest
import torch
from loop_kit import ScriptedControl, Trace, disagreement, in_world, run_traced, same_bits
from planted_faults import FAULTS
from rank_jobs import (
    ACCUMULATION,
    FAULTY,
    IDLE,
    LIVES,
    LONG,
    MEASUREMENTS,
    NOISY,
    SHORT,
    any_shape,
    killed_at_a_step,
    load,
    options,
    signals_and_failures,
)
from torch.multiprocessing.spawn import ProcessException

from lars_sweep.spec.trainer import Signal
from lars_sweep.train import TorchTrainer
from lars_sweep.train.checkpoint import checkpoints

SAME = 1e-9
# One pytest-xdist worker (--dist loadgroup), so that each world is started once.
pytestmark = pytest.mark.xdist_group("worlds")


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Directory with the results of a world, started once whatever the order of the tests."""

    @cache
    def of_size(size: int) -> Path:
        directory = tmp_path_factory.mktemp(f"world{size}")
        # A fault that two ranks reveal need not be planted on four.
        in_world(size, any_shape, directory, list(FAULTS) if size == 2 else [])
        return directory

    return of_size


@pytest.fixture(params=[2, 4])
def world(request: pytest.FixtureRequest, worlds: Callable[[int], Path]) -> Path:
    return worlds(request.param)


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


def test_ranks_without_an_atom_take_part(world: Path, tmp_path: Path) -> None:
    assert disagreement(alone(IDLE, tmp_path, torch.float64), load(world, "idle")) < SAME


def test_noise_norms_of_ranks_are_those_of_micro_batches(world: Path) -> None:
    trainer = TorchTrainer(**options(torch.float32), **MEASUREMENTS)
    rows = zip(trainer.train(NOISY, ScriptedControl()).noise, load(world, "noise"), strict=True)
    for alone, together in rows:
        assert astuple(alone) == pytest.approx(astuple(together), rel=1e-5)
        assert alone.micro_square > alone.mean_square > 0


def test_a_noise_measurement_interrupted_on_ranks_goes_on_where_it_stopped(world: Path) -> None:
    assert load(world, "noise again") == load(world, "noise")


@pytest.mark.parametrize("world", [2], indirect=True)
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
    assert load(tmp_path, "preempted") == ("interrupted", Signal.PREEMPTED, 5)
    assert "another rank failed at step 6" in load(tmp_path, "step")
    assert "another rank failed in an evaluation" in load(tmp_path, "evaluation")
    assert load(tmp_path, "last") == "ok"


@pytest.mark.parametrize(
    ("size", "kills"),
    [
        (1, 1),
        pytest.param(2, 20, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
        pytest.param(4, 20, marks=[pytest.mark.long, pytest.mark.timeout(3600)]),
    ],
)
def test_a_killed_world_goes_on_with_the_same_bits(size: int, kills: int, tmp_path: Path) -> None:
    chance = random.Random(size)
    for number in range(kills):
        how = (signal.SIGKILL, signal.SIGUSR2)[number % 2]
        victim, after = chance.randrange(size), chance.randint(2, 4)
        before = newest_step(tmp_path)
        with suppress(ProcessException):
            in_world(size, killed_at_a_step, tmp_path, victim, after, how)
        # Nothing but the step in flight is lost when every step leaves a checkpoint.
        assert min(before + after, LIVES.steps) - 1 <= newest_step(tmp_path)
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    for directory in (tmp_path, undisturbed):
        if size == 1:
            killed_at_a_step(directory)
        else:
            in_world(size, killed_at_a_step, directory)
    assert same_bits(load(tmp_path, "killed"), load(undisturbed, "killed"))
    attempts = steps_of_attempts(tmp_path)
    assert len(attempts) == kills + 1
    starts = [steps[0] - 1 for steps in attempts]
    assert sum(start > 0 for start in starts[1:]) >= 0.8 * kills
    # At most one checkpoint interval, here a step, is done again; none is left out.
    assert {last[-1] - start for last, start in zip(attempts, starts[1:], strict=False)} <= {0, 1}


def steps_of_attempts(directory: Path) -> list[list[int]]:
    """The steps that each attempt ended, in order, as its rank 0 noted them."""
    noted = [line.split() for line in (directory / "steps.log").read_text().splitlines()]
    attempts = groupby(noted, key=lambda words: words[0])
    return [[int(step) for _, step in words] for _, words in attempts]


def newest_step(directory: Path) -> int:
    return max((int(path.stem.removeprefix("step-")) for path in checkpoints(directory)), default=0)
