"""What the ranks of the multi-process tests do; results are files, as ranks are processes."""

from __future__ import annotations

import itertools
import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from loop_kit import (
    ScriptedControl,
    StopsInMeasurement,
    run_interrupted,
    run_traced,
    tiny_trial,
    trace,
)
from planted_faults import FAULTS
from torch import Tensor

from lars_sweep.errors import DataError, TrainError
from lars_sweep.spec.noise import NoisePlan
from lars_sweep.spec.trainer import Signal
from lars_sweep.train import TorchTrainer
from lars_sweep.train.batches import Batches, LoadedBatch
from lars_sweep.train.evaluate import SampleSet
from lars_sweep.train.world import World

LONG = tiny_trial(steps=50, base_lr=0.1)
"""In float64 on any shape: equal to 1e-9."""
FAULTY = tiny_trial(steps=8, base_lr=0.1)
SHORT = tiny_trial(steps=3, base_lr=0.1)
"""In float32 on any shape: equal to 1e-5."""
LIVES = tiny_trial(steps=80)
IDLE = tiny_trial(steps=6, global_batch=12)
"""Two atoms: of four ranks two have nothing to do."""
NOISY = tiny_trial(steps=1, evaluations=1, base_lr=0.1, warmup_steps=0, global_batch=12)
"""Two atoms: on two ranks the gradients of ranks, on one those of micro-batches."""
MEASUREMENTS: dict[str, Any] = {"noise": NoisePlan(measurements=3)}
FAILING = {"step": 9, "evaluation": 10}
"""Seeds of trials that fail on the last rank."""
ACCUMULATION: dict[str, Any] = {"micro_batch": 12}
"""Two atoms of six samples; seven atoms are uneven however they are dealt."""


def options(dtype: torch.dtype) -> dict[str, Any]:
    return {"device": "cpu", "threads": 1, "checkpoint_every_s": 0, "dtype": dtype}


def together(job: Callable[[TorchTrainer], None], **settings: Any) -> None:
    """Run the job on rank 0 while the others follow."""
    trainer = TorchTrainer(**settings)
    if not trainer.leads:
        return trainer.follow()
    try:
        job(trainer)
    finally:
        trainer.dismiss()


def save(directory: Path, name: str, content: object) -> None:
    (directory / f"{name}.pickle").write_bytes(pickle.dumps(content))


def load(directory: Path, name: str) -> Any:
    return pickle.loads((directory / f"{name}.pickle").read_bytes())


def any_shape(directory: Path, faults: Iterable[str]) -> None:
    """All that one world is asked to do, in one go: starting processes is what costs."""
    double = options(torch.float64) | ACCUMULATION

    def traced(name: str, trial: Any) -> Callable[[TorchTrainer], None]:
        return lambda trainer: save(directory, name, run_traced(trainer, trial, directory / name))

    together(traced("long", LONG), **double)
    together(traced("idle", IDLE), **double)
    together(traced("short", SHORT), **options(torch.float32))
    for name in faults:
        with FAULTS[name]():
            together(traced(name, FAULTY), **double)
    together(traced("faultless", FAULTY), **double)

    def interrupted(trainer: TorchTrainer) -> None:
        found = run_interrupted(trainer, tiny_trial(), directory / "resumed", (3, 4, 9))
        save(directory, "resumed", found)

    def noise(trainer: TorchTrainer) -> None:
        save(directory, "noise", trainer.train(NOISY, ScriptedControl()).noise)

    def noise_interrupted(trainer: TorchTrainer) -> None:
        kept = directory / "noise"
        kept.mkdir()
        first = trainer.train(NOISY, StopsInMeasurement(2, kept))
        assert (first.status, len(first.noise)) == ("interrupted", 2)
        save(directory, "noise again", trainer.train(NOISY, ScriptedControl(kept)).noise)

    together(noise, **options(torch.float32), **MEASUREMENTS)
    together(noise_interrupted, **options(torch.float32), **MEASUREMENTS)
    together(traced("undisturbed", tiny_trial()), **options(torch.float32))
    together(interrupted, **options(torch.float32))


def signals_and_failures(directory: Path) -> None:
    """Preempted by the last rank; failing there in a step, in an evaluation; and one that is well.

    All in one world, which must survive each.
    """
    trainer = TorchTrainer(**options(torch.float32))
    if trainer.leads:
        (directory / "first").mkdir()
        result = trainer.train(tiny_trial(), ScriptedControl(directory / "first"))
        save(directory, "preempted", (result.status, result.signal, result.steps_done))
        for name, seed in FAILING.items():
            try:
                trainer.train(tiny_trial(seed=seed), ScriptedControl())
            except TrainError as error:
                save(directory, name, str(error))
        save(directory, "last", trainer.train(tiny_trial(), ScriptedControl()).status)
    else:
        answers = iter([Signal.GO_ON] * 4 + [Signal.PREEMPTED] + [Signal.GO_ON] * 100)
        with _failing():
            trainer.follow(lambda: next(answers))
    trainer.close()


def killed_at_a_step(
    directory: Path, victim: int = 0, after: int = 10**6, how: int = signal.SIGKILL
) -> None:
    """An attempt at `tiny_trial` in which one rank gets a signal after some steps.

    Rank 0 notes every step in ``steps.log``, with its process: what a killed attempt leaves.
    """
    preempted = []
    calls = itertools.count(1)
    previous = signal.signal(signal.SIGUSR2, lambda *_: preempted.append(True))

    def poll() -> Signal:
        if next(calls) == after and int(os.environ.get("RANK", "0")) == victim:
            os.kill(os.getpid(), how)
        return Signal.PREEMPTED if preempted else Signal.GO_ON

    trainer = TorchTrainer(**options(torch.float32))
    if trainer.leads:
        control = ScriptedControl(directory)

        def at_step(steps_done: int) -> Signal:
            control.steps.append(steps_done)
            with (directory / "steps.log").open("a") as log:
                log.write(f"{os.getpid()} {steps_done}\n")
            return poll()

        control.at_step = at_step  # type: ignore[method-assign]
        result = trainer.train(LIVES, control)
        assert result.start_step == control.steps[0] - 1
        if result.status == "ok":
            save(directory, "killed", trace(result, LIVES, directory))
    else:
        trainer.follow(poll)
    trainer.close()
    signal.signal(signal.SIGUSR2, previous)


@contextmanager
def _failing() -> Iterator[None]:
    """Data that cannot be read, in step 5 of one trial and in the evaluations of another."""
    of_step, chunks = Batches.of_step, SampleSet.chunks
    seeds = []

    def no_batch(self: Batches, step: int, most_samples: int) -> Iterator[LoadedBatch]:
        seeds.append(self._trial.seed)
        if (self._trial.seed, step) == (FAILING["step"], 5):
            raise DataError("an image cannot be read")
        return of_step(self, step, most_samples)

    def no_chunk(self: SampleSet, world: World, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        if seeds[-1] == FAILING["evaluation"]:
            raise DataError("an image cannot be read")
        return chunks(self, world, size)

    with patch.object(Batches, "of_step", no_batch), patch.object(SampleSet, "chunks", no_chunk):
        yield
