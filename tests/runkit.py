"""Run directories for the tests of the control plane: made, worked on and finished in-process."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from lars_sweep.outcomes.loose import Outcome
from lars_sweep.rundir import requests
from lars_sweep.rundir.layout import RunDir, create_run
from lars_sweep.spec.loading import load_sweep
from lars_sweep.spec.strata import DataFacts
from lars_sweep.spec.trainer import (
    Control,
    Evaluation,
    Hardware,
    LayerNorms,
    NoiseNorms,
    Signal,
    TrialResult,
)
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import Plan, QueuedTrial, load_plan, make_plan, plan_content
from lars_sweep.worker.noop import NoopTrainer
from lars_sweep.worker.record import Effort, Provenance, make_outcome
from lars_sweep.worker.worker import WorkerProcess

FACTS = DataFacts(content_id="0123456789abcdef", train_samples=1536)
"""N = 1,280 after a sixth is held out."""

GRID = """
name = "small"

[model]
name = "small_alexnet_bn"

[data]
name = "digits"

[training]
bn_batch = 32

[space]
optimizer = "sgd"
global_batch = [64, 128]
epochs = 2
base_lr = [0.1, 0.2, 0.4]

[seeds]
count = 2
"""
"""Two strata of three points with two seeds: 12 trials."""

HARDWARE = Hardware(device="test", devices=2, versions="test 1")


def sampled(kind: str, n_points: int, *, seeds: int = 1, extra: str = "") -> str:
    """A sweep of one stratum whose points are drawn: base_lr in [0.01, 10], momentum of two."""
    return f"""
name = "drawn"
[model]
name = "small_alexnet_bn"
[data]
name = "digits"
[training]
bn_batch = 32
[space]
optimizer = "sgd"
global_batch = 64
epochs = 2
momentum = [0.8, 0.9]
base_lr = {{ log = [0.01, 10] }}
[strategy]
kind = "{kind}"
n_points = {n_points}
{extra}
[seeds]
count = {seeds}
"""


def write_sweep(directory: Path, text: str = GRID) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "sweep.toml"
    path.write_text(text)
    return path


def plan_of(
    directory: Path, text: str = GRID, overrides: Sequence[str] = (), facts: DataFacts = FACTS
) -> Plan:
    return make_plan(load_sweep(write_sweep(directory, text), overrides), facts)


def make_run(
    directory: Path, text: str = GRID, overrides: Sequence[str] = (), facts: DataFacts = FACTS
) -> RunDir:
    """A planned run of the no-op trainer in ``directory/run``."""
    plan = plan_of(directory, text, overrides, facts)
    return create_run(directory / "run", plan_content(plan, trainer="noop"))


def worker_of(
    run: RunDir, trainer: Any = None, ending: Callable[[], Signal] = lambda: Signal.GO_ON
) -> WorkerProcess:
    """A worker in this process, with a trainer of the test's own if one is given."""
    return WorkerProcess(run, trainer or NoopTrainer(), ending, "local", "1")  # type: ignore[arg-type]


def finish(run: RunDir, trainer: Any = None) -> str:
    """Let one worker run all that is left."""
    return worker_of(run, trainer).work()


def evaluation(step: int, accuracy: float, **changes: Any) -> Evaluation:
    """One evaluation: test accuracy is half a point above val, top-5 twenty points."""
    values: dict[str, Any] = {
        "step": step, "epochs": step / 20, "lr": 0.1, "train_loss": 1.0, "train_accuracy": accuracy,
        "val_loss": 1.0, "val_accuracy": accuracy, "val_top5": accuracy + 20, "test_loss": 1.1,
        "test_accuracy": accuracy + 0.5, "test_top5": accuracy + 20.5, "gradient_norm": 1.0,
        "images_per_s": 100.0, "data_wait": 0.0, "memory_gib": 0.1, "wall_s": float(step),
    }  # fmt: skip
    return Evaluation(**(values | changes))


def norms(step: int) -> LayerNorms:
    return LayerNorms(
        step=step, layer="conv1.weight", weight_norm=1.0, gradient_norm=0.1, local_lr=None,
        effective_lr=0.1, update_ratio=0.01,
    )  # fmt: skip


def noise(step: int, number: int) -> NoiseNorms:
    """Five of them from number 0 say tr(Σ) = 76.8 and |G|² = 0.8."""
    return NoiseNorms(
        step=step, measurement=number, micro_batch=32, micro_batches=2,
        micro_square=3.0 + number / 10, mean_square=2.0,
    )  # fmt: skip


class CurveTrainer:
    """Follows a stated curve through the real Control: one evaluation for each value on val.

    Args:
        curve: a trial's accuracies on val, in order.
        status: how a trial ends if nothing stops it.
        at_evaluation: called with (trial, number) before each evaluation; may raise.
    """

    hardware = HARDWARE

    def __init__(
        self,
        curve: Callable[[TrialSpec], Sequence[float]] = lambda trial: (50.0, 60.0),
        *,
        status: Callable[[TrialSpec], str] = lambda trial: "ok",
        at_evaluation: Callable[[TrialSpec, int], None] = lambda trial, number: None,
    ) -> None:
        self._curve = curve
        self._status = status
        self._at_evaluation = at_evaluation

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        done: list[Evaluation] = []
        signal = Signal.GO_ON
        curve = self._curve(trial)
        for number, accuracy in enumerate(curve, start=1):
            step = -(-number * trial.steps // len(curve))
            self._at_evaluation(trial, number)
            signal = control.at_step(step)
            if signal is Signal.GO_ON:
                done.append(evaluation(step, accuracy))
                signal = control.at_evaluation(done[-1])
            if signal is not Signal.GO_ON:
                break
        status = {Signal.GO_ON: self._status(trial), Signal.PRUNE: "pruned"}
        return TrialResult(
            status=status.get(signal, "interrupted"),  # type: ignore[arg-type]
            cause="nonfinite" if self._status(trial) == "diverged" else None,
            signal=signal,
            steps_done=done[-1].step if done else 0,
            lr_peak=trial.base_lr,
            lr_integral=1.0,
            chance=10.0,
            evaluations=tuple(done),
            layers=tuple(norms(e.step) for e in done),
        )


class StopsAt(CurveTrainer):
    """Asks the run to stop when it begins its n-th trial."""

    def __init__(self, run: RunDir, n: int, *curve: Callable[[TrialSpec], Sequence[float]]) -> None:
        super().__init__(*curve)
        self._run, self._left = run, n

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        self._left -= 1
        if self._left == 0:
            requests.request_stop(self._run, "test")
        return super().train(trial, control)


def outcome_of(
    plan: Plan, queued: QueuedTrial, values: Sequence[float] = (55.0, 60.0), status: str = "ok"
) -> Outcome:
    """A finished trial with these accuracies on val, without anything having run."""
    trial = plan.trial(queued)
    steps = (*trial.evaluation_steps[: len(values) - 1], trial.steps)
    result = TrialResult(
        status=status,  # type: ignore[arg-type]
        steps_done=trial.steps,
        lr_peak=trial.base_lr,
        lr_integral=1.0,
        chance=10.0,
        evaluations=[evaluation(step, value) for step, value in zip(steps, values, strict=True)],
        layers=[norms(trial.steps)],
        noise=[noise(trial.steps, number) for number in range(5)],
    )
    provenance = Provenance(
        sweep="small", spec_hash="0" * 64, hardware=HARDWARE, versions="test", git_commit=None
    )
    effort = Effort(attempts=1, wall_s=2.0, started_at=1.0e9, finished_at=1.0e9 + 2)
    return make_outcome(queued, trial, result, effort, provenance)


def outcomes_of(run: RunDir) -> list[Outcome]:
    plan = load_plan(run)
    return [outcome_of(plan, queued) for queued in plan.queue]


PATIENCE_S = 60.0


def until(true: Callable[[], object]) -> None:
    """Wait for what takes seconds on a quiet machine."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def processes(count: int) -> ProcessPoolExecutor:
    """``count`` fresh processes; they fork from a server that has the imports done already."""
    context = multiprocessing.get_context("forkserver")
    # This file itself is not on the server's path; what it imports is.
    context.set_forkserver_preload(["pytest", "lars_sweep.worker.worker", "lars_sweep.spec"])
    return ProcessPoolExecutor(count, mp_context=context)


def in_parallel(function: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Call the function once in a process of its own for each tuple of arguments, all at once."""
    calls = list(arguments)
    start = time.time() + 0.5
    with processes(len(calls)) as pool:
        futures = [pool.submit(_at, start, function, call) for call in calls]
        return [future.result() for future in futures]


def _at(start: float, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    time.sleep(max(0.0, start - time.time()))
    return function(*arguments)


def temporaries(directory: Path) -> list[str]:
    """What a publication left lying."""
    return [name for name in os.listdir(directory) if name.startswith(".tmp-")]


def files_in(run: RunDir) -> list[str]:
    return sorted(str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.is_file())
