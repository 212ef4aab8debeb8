"""Tiny trials, a control that signals at given steps, and the comparison of machine shapes."""

from __future__ import annotations

import math
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from lars_sweep.data import describe_dataset
from lars_sweep.spec.trainer import Evaluation, Signal, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train import TorchTrainer
from lars_sweep.train.checkpoint import newest_checkpoint, parse_checkpoint

SYNTHETIC = "synthetic:image_size=8,channels=1,classes=10,samples=240"
EXECUTION = {"images_per_s", "data_wait", "memory_gib", "wall_s"}


def tiny_trial(steps: int = 12, **changes: Any) -> TrialSpec:
    """BN, dropout, augmentation; 7 atoms a step, uneven on 2 and 4 ranks and in micro-batches."""
    dataset = changes.get("dataset", SYNTHETIC)
    info = describe_dataset(dataset)
    batch = changes.get("global_batch", 42)
    share = changes.get("val_share", 1 / 6)
    samples = info.train_samples - round(share * info.train_samples)
    content: dict[str, Any] = {
        "model": "small_alexnet_bn",
        "dataset": dataset,
        "data_id": info.content_id,
        "samples": samples,
        "augmentation": "minimal",
        "optimizer": "lars",
        "lars_variant": "paper",
        "granularity": "layer",
        "zero_norm": "one",
        "trust_coefficient": 0.01,
        "global_batch": batch,
        "bn_batch": 6,
        "base_lr": 0.5,
        "warmup_steps": 4,
        "epochs": steps * batch / samples,
        "evaluations": 3,
        "seed": 5,
    }
    trial = TrialSpec(**(content | changes))
    assert trial.steps == steps
    return trial


def sgd(**changes: Any) -> dict[str, Any]:
    """The fields that make a tiny trial one of SGD."""
    none = dict.fromkeys(("lars_variant", "granularity", "zero_norm", "trust_coefficient"))
    return {"optimizer": "sgd", **none, **changes}


@dataclass
class ScriptedControl:
    """Answers each step as scripted; the steps and evaluations that it saw are kept."""

    checkpoint_dir: Path | None = None
    at_steps: Mapping[int, Signal] = field(default_factory=dict)
    at_evaluations: Mapping[int, Signal] = field(default_factory=dict)
    kill_at: int | None = None
    steps: list[int] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)

    def at_step(self, steps_done: int) -> Signal:
        self.steps.append(steps_done)
        if steps_done == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.at_steps.get(steps_done, Signal.GO_ON)

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        self.evaluations.append(evaluation)
        return self.at_evaluations.get(evaluation.step, Signal.GO_ON)


@dataclass
class StopsInMeasurement:
    """Preempts the first noise measurement but some of a trial, after its evaluation."""

    after: int
    checkpoint_dir: Path | None = None
    signal: Signal = Signal.PREEMPTED
    evaluated: bool = False

    def at_step(self, steps_done: int) -> Signal:
        if not self.evaluated:
            return Signal.GO_ON
        self.after -= 1
        return self.signal if self.after < 0 else Signal.GO_ON

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        self.evaluated = True
        return Signal.GO_ON


@dataclass
class Trace:
    """What a trial computed: the numbers that no machine shape may change."""

    weights: dict[str, torch.Tensor]
    evaluations: list[dict[str, float | None]]
    layers: list[dict[str, Any]]
    status: str


def trace(result: TrialResult, trial: TrialSpec, directory: Path) -> Trace:
    """From a result and the checkpoint of its last step."""
    payload = newest_checkpoint(directory, trial.trial_id)
    assert payload is not None
    content = parse_checkpoint(payload, torch.device("cpu"))
    assert content["progress"]["step"] == result.steps_done
    return Trace(
        weights=content["model"],
        evaluations=[_scientific(row) for row in result.evaluations],
        layers=[{f.name: getattr(row, f.name) for f in fields(row)} for row in result.layers],
        status=result.status,
    )


def run_traced(trainer: TorchTrainer, trial: TrialSpec, directory: Path) -> Trace:
    """Train to the end without disturbance; the trainer must checkpoint at every step."""
    directory.mkdir(parents=True, exist_ok=True)
    return trace(trainer.train(trial, ScriptedControl(directory)), trial, directory)


def run_interrupted(
    trainer: TorchTrainer, trial: TrialSpec, directory: Path, stops: Sequence[int]
) -> tuple[Trace, list[int]]:
    """Train with a preemption after each of the given steps; also the steps of the restarts."""
    directory.mkdir(parents=True, exist_ok=True)
    starts = []
    for stop in stops:
        control = ScriptedControl(directory, at_steps={stop: Signal.PREEMPTED})
        result = trainer.train(trial, control)
        assert (result.status, result.steps_done) == ("interrupted", stop)
        starts.append(result.start_step)
    result = trainer.train(trial, ScriptedControl(directory))
    return trace(result, trial, directory), [*starts, result.start_step]


def disagreement(one: Trace, other: Trace) -> float:
    """Largest relative difference of any weight tensor (by norm), evaluation or layer norm.

    0 exactly when all bits agree; infinite when the traces have different shapes.
    """
    if one.status != other.status or one.weights.keys() != other.weights.keys():
        return math.inf
    worst = 0.0
    for name, tensor in one.weights.items():
        difference = (tensor.double() - other.weights[name].double()).norm()
        worst = max(worst, float(difference / tensor.double().norm().clamp(min=1e-30)))
    if len(one.evaluations) != len(other.evaluations) or len(one.layers) != len(other.layers):
        return math.inf
    rows = zip([*one.evaluations, *one.layers], [*other.evaluations, *other.layers], strict=True)
    return max(worst, *(_row_difference(a, b) for a, b in rows))


def same_bits(one: Trace, other: Trace) -> bool:
    """Whether nothing at all differs."""
    return (
        all(torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items())
        and one.evaluations == other.evaluations
        and one.layers == other.layers
        and one.status == other.status
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def in_world(size: int, job: Callable[..., None], *arguments: object, threads: int = 1) -> None:
    """Run ``job(*arguments)`` on every rank of a gloo world of new processes on this host."""
    port = free_port()
    torch.multiprocessing.spawn(
        _rank, (size, port, threads, job, arguments), nprocs=size, join=True
    )


def _rank(
    rank: int, size: int, port: int, threads: int, job: Callable[..., None], arguments: Any
) -> None:
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    torch.set_num_threads(threads)
    job(*arguments)


def _scientific(row: Evaluation) -> dict[str, float | None]:
    return {f.name: getattr(row, f.name) for f in fields(row) if f.name not in EXECUTION}


def _row_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    worst = 0.0
    for name, value in one.items():
        if isinstance(value, float) and isinstance(other[name], float):
            scale = max(abs(value), abs(other[name]), 1e-30)
            worst = max(worst, abs(value - other[name]) / scale)
        elif value != other[name]:
            return math.inf
    return worst
