"""One attempt at one trial: step, measure, listen, keep a checkpoint."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from lars_sweep.errors import TrainError
from lars_sweep.spec.noise import NoisePlan
from lars_sweep.spec.trainer import Control, Evaluation, LayerNorms, Signal, TrialResult
from lars_sweep.spec.trial import TrialSpec, in_last5, in_tail
from lars_sweep.train.augment import Preparation
from lars_sweep.train.batches import Batches
from lars_sweep.train.checkpoint import newest_checkpoint, parse_checkpoint, save_checkpoint
from lars_sweep.train.divergence import Cause, DivergenceWatch, FiniteWatch, untrained
from lars_sweep.train.evaluate import Evaluator
from lars_sweep.train.layer_norms import LayerMeter
from lars_sweep.train.models import NETWORKS, build_model
from lars_sweep.train.noise_scale import NoiseMeter
from lars_sweep.train.numerics import Numerics, describe
from lars_sweep.train.optimizers import LARS, build_optimizer, set_lr
from lars_sweep.train.optimizers.norms import norms
from lars_sweep.train.parts import LoadedDataset, Parts
from lars_sweep.train.progress import Progress
from lars_sweep.train.schedules import excluded_learning_rate, learning_rate, lr_integral, lr_peak
from lars_sweep.train.step import GradientStep
from lars_sweep.train.throughput import Throughput, peak_memory_gib
from lars_sweep.train.world import World

_log = logging.getLogger(__name__)
Status = Literal["ok", "diverged", "pruned", "interrupted"]


@dataclass(slots=True, kw_only=True)
class RunOptions:
    """How trials are run here; nothing of it changes what they compute."""

    device: torch.device
    dtype: torch.dtype
    checkpoint_every_s: float
    most_samples: int
    """Largest micro-batch, in samples; halved for good when the device runs out of memory."""
    compiled: bool
    """Whether training goes through ``torch.compile``."""
    noise: NoisePlan | None


@dataclass(frozen=True, slots=True)
class Follower:
    """The `Control` of ranks above 0: their own signals count, rank 0 does all else."""

    poll: Callable[[], Signal]
    checkpoint_dir: None = None

    def at_step(self, steps_done: int) -> Signal:
        """What is asked of this rank."""
        return self.poll()

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        """Only rank 0 asks a pruner."""
        return Signal.GO_ON


class TrialRun:
    """Live state of a trial on one rank."""

    def __init__(
        self,
        trial: TrialSpec,
        control: Control,
        world: World,
        loaded: LoadedDataset,
        options: RunOptions,
    ) -> None:
        if trial.global_batch < world.size:
            raise TrainError(
                f"trial {trial.trial_id}: global_batch {trial.global_batch} is smaller than the "
                f"world of {world.size} processes; use fewer processes or a larger batch"
            )
        self._trial, self._control, self._world, self._options = trial, control, world, options
        dataset = loaded.dataset
        self._numerics = Numerics(trial, options.device, options.dtype)
        self._parts = Parts.of(trial, loaded)
        self._classes = dataset.info.num_classes
        size = input_size(trial.model, dataset.info.image_size)
        model = build_model(
            trial.model,
            self._classes,
            in_channels=dataset.info.channels,
            image_size=size,
            init=trial.init,
            seed=trial.seed,
        ).to(options.device)
        # Three times faster pooling and half the time per step on CPUs; tensor cores want it too.
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Only where asked for: it would convert the buffers that are float64 on purpose, too.
        self._model = model if options.dtype == torch.float32 else model.to(options.dtype)
        self._parameters: list[Tensor] = list(self._model.parameters())
        self._optimizer = build_optimizer(trial, self._model)
        self._gradient_step = GradientStep(
            trial, self._model, self._numerics, world, compiled=options.compiled
        )
        preparation = Preparation(trial, dataset, size, self._numerics)
        self._evaluator = Evaluator(self._numerics, preparation, world, self._classes)
        parts = self._parts
        self._noise = NoiseMeter(trial, self._model, parts, preparation, self._numerics, world)
        self._noise_due = frozenset(options.noise.steps(trial) if options.noise else ())
        self._batches = Batches(trial, parts.source, parts.training, preparation, world)
        self._weight_gradient = 0.0
        self._chance = 100 / self._classes
        self._finite = FiniteWatch(options.device)
        self._first_bad: int | None = None
        self._failure: Exception | None = None
        self._progress = Progress(watch=DivergenceWatch(trial.warmup_steps))
        self._start_step = 0
        self._checkpoint = self._found_checkpoint()
        self._throughput = Throughput(0, 0.0)
        self._began = time.perf_counter()
        self._saved_at = time.monotonic()

    def to_end(self) -> TrialResult:
        """Train from the newest checkpoint to the end, to divergence, or to a signal.

        Raises:
            TrainError: another rank failed. What failed on this rank is raised as it was.
        """
        self._restore()
        progress, trial = self._progress, self._trial
        if self._noise_left() and self._stops(signal := self._measure_noise(resumed=True)):
            return self._stopped(signal)
        self._throughput.resume(progress.step, self._batches.wait_s)
        due = frozenset(trial.evaluation_steps)
        while progress.step < trial.steps:
            measured = progress.step + 1 in due
            layers = self._step(measured)
            if self._first_bad is not None:
                progress.step = self._first_bad
                return self._result("diverged", "nonfinite")
            signal = self._agreed(lambda: self._control.at_step(progress.step))
            if measured:
                evaluation, cause = self._evaluate(layers)
                if cause is not None:
                    return self._result("diverged", cause)
                said = self._agreed(partial(self._control.at_evaluation, evaluation))
                signal = max(signal, said)
                if not self._stops(signal):
                    signal = max(signal, self._measure_noise())
                self._throughput.resume(progress.step, self._batches.wait_s)
            if self._stops(signal) and (progress.step < trial.steps or self._noise_left()):
                return self._stopped(signal)
            self._save_at_interval()
        accuracy = progress.evaluations[-1].train_accuracy
        return self._result("ok", "untrained" if untrained(accuracy, self._chance) else None)

    def close(self) -> None:
        """End what runs beside the training loop."""
        self._batches.close()

    def _step(self, measured: bool) -> list[LayerNorms]:
        """One optimizer step; rows of its layers if an evaluation follows."""
        step = self._progress.step
        set_lr(
            self._optimizer,
            learning_rate(self._trial, step),
            excluded_learning_rate(self._trial, step),
        )
        loss = self._gradient_step.reduce(self._accumulate(step))
        gradients = self._gradient_step.gradients()
        meter = LayerMeter(self._model, gradients, self._optimizer) if measured else None
        if measured or step == 0:
            weights = norms([gradient for gradient in gradients if gradient.ndim > 1])
            self._weight_gradient = float(torch.linalg.vector_norm(weights))
        if step == 0:
            self._progress.watch.begin(float(loss), self._weight_gradient)
        self._optimizer.step()
        self._progress.step = step + 1
        with torch.no_grad():
            # Rough norms in one call: only whether they are finite counts.
            sizes = torch._foreach_norm(gradients + self._parameters)
            total = loss + torch.stack(sizes).sum()
        self._first_bad = self._finite.first_bad(step + 1, total)
        if meter is None or self._first_bad is not None:
            return []
        self._first_bad = self._finite.flush()
        return meter.measure(step + 1)

    def _accumulate(self, step: int) -> Tensor:
        try:
            return self._accumulate_in_memory(step)
        except Exception as failure:
            if self._world.size == 1:
                raise
            # The other ranks wait in the reduction: take part in it, then tell them.
            self._failure = failure
            return self._gradient_step.nothing()

    def _accumulate_in_memory(self, step: int) -> Tensor:
        """Halve the micro-batch until the step fits; what was accumulated before is forgotten."""
        options, trial = self._options, self._trial
        while True:
            try:
                batches = self._batches.of_step(step, options.most_samples)
                return self._gradient_step.accumulate(batches)
            except torch.OutOfMemoryError as error:
                if options.most_samples <= trial.bn_batch:
                    raise TrainError(
                        f"trial {trial.trial_id}: one atom of bn_batch = {trial.bn_batch} samples "
                        f"does not fit the memory of {describe(options.device)}; "
                        "use a device with more memory, or a smaller bn_batch (another trial)"
                    ) from error
            self._gradient_step.nothing()
            torch.cuda.empty_cache()
            options.most_samples = max(trial.bn_batch, options.most_samples // 2)
            _log.warning("out of memory: micro-batch halved to %d samples", options.most_samples)

    def _agreed(self, ask: Callable[[], Signal]) -> Signal:
        """What all ranks do next: the gravest of their signals."""
        signal = Signal.RANK_FAILED
        if self._failure is None:
            try:
                signal = ask()
            except Exception as failure:
                self._failure = failure
        agreed = Signal(self._world.agree(signal))
        if agreed == Signal.RANK_FAILED:
            raise self._failure or TrainError(
                f"trial {self._trial.trial_id}: another rank failed at step {self._progress.step}; "
                "its log says why"
            )
        return agreed

    def _calibrate(self) -> None:
        self._evaluator.calibrate(self._model, self._parts.calibration, self._trial.bn_batch)

    def _evaluate(self, layers: list[LayerNorms]) -> tuple[Evaluation, Cause | None]:
        trial, progress, parts = self._trial, self._progress, self._parts
        pace = self._throughput.pace(progress.step, self._batches.wait_s, trial.global_batch)
        if trial.bn_eval == "recompute":
            self._calibrate()
        train = self._evaluator.score(self._model, parts.train_subset)
        val = None if parts.val is None else self._evaluator.score(self._model, parts.val)
        reporting = (
            trial.protocol == "paper"
            or in_tail(trial, progress.step)
            or in_last5(trial, progress.step)
        )
        test = self._evaluator.score(self._model, parts.test) if reporting else None
        evaluation = Evaluation(
            step=progress.step,
            epochs=progress.step * trial.global_batch / trial.samples,
            lr=learning_rate(trial, progress.step - 1),
            train_loss=train.loss,
            train_accuracy=train.top1,
            val_loss=val.loss if val else None,
            val_accuracy=val.top1 if val else None,
            val_top5=val.top5 if val else None,
            test_loss=test.loss if test else None,
            test_accuracy=test.top1 if test else None,
            test_top5=test.top5 if test else None,
            gradient_norm=math.hypot(*(row.gradient_norm for row in layers)),
            images_per_s=pace.images_per_s,
            data_wait=pace.data_wait,
            memory_gib=peak_memory_gib(self._options.device, self._world),
            wall_s=self._wall_s(),
        )
        progress.evaluations.append(evaluation)
        progress.layers.extend(layers)
        cause = progress.watch.cause(
            step=progress.step,
            train_loss=train.loss,
            logit_spread=train.logit_spread,
            gradient=self._weight_gradient,
        )
        return evaluation, cause

    def _noise_left(self) -> range:
        """Numbers of the measurements that are due at these weights and not made yet."""
        progress, plan = self._progress, self._options.noise
        if plan is None or progress.step not in self._noise_due:
            return range(0)
        return range(sum(row.step == progress.step for row in progress.noise), plan.measurements)

    def _measure_noise(self, *, resumed: bool = False) -> Signal:
        """Make those measurements; what asks to stop ends them in between, as between steps."""
        progress = self._progress
        if resumed and self._trial.bn_eval == "recompute":
            # What the evaluation before the interruption had computed is in no checkpoint.
            self._calibrate()
        for number in self._noise_left():
            signal = self._agreed(lambda: self._control.at_step(progress.step))
            if self._stops(signal):
                return signal
            began = time.perf_counter()
            progress.noise.append(self._noise.measure(progress.step, number))
            self._began += time.perf_counter() - began  # neither training nor evaluation
            self._save_at_interval()
        return Signal.GO_ON

    def _stops(self, signal: Signal) -> bool:
        """Whether this ends the attempt; a trial that has made its last step is pruned no more."""
        if signal == Signal.PRUNE:
            return self._progress.step < self._trial.steps
        return signal != Signal.GO_ON

    def _stopped(self, signal: Signal) -> TrialResult:
        if signal == Signal.PRUNE:
            return self._result("pruned", signal.name, signal)
        if signal in (Signal.PREEMPTED, Signal.OUT_OF_TIME):
            self._save()
        return self._result("interrupted", signal.name, signal)

    def _result(
        self, status: Status, cause: str | None, signal: Signal = Signal.GO_ON
    ) -> TrialResult:
        optimizer, progress = self._optimizer, self._progress
        return TrialResult(
            status=status,
            cause=cause,
            signal=signal,
            start_step=self._start_step,
            steps_done=progress.step,
            lr_peak=lr_peak(self._trial),
            lr_integral=lr_integral(self._trial, progress.step),
            zero_norm_events=optimizer.zero_norm_events if isinstance(optimizer, LARS) else 0,
            chance=self._chance,
            evaluations=tuple(progress.evaluations),
            layers=tuple(progress.layers),
            noise=tuple(progress.noise),
        )

    def _wall_s(self) -> float:
        return self._progress.wall_s + time.perf_counter() - self._began

    def _save_at_interval(self) -> None:
        # Only rank 0 writes and only it looks at the clock: the others need not agree.
        if time.monotonic() - self._saved_at >= self._options.checkpoint_every_s:
            self._save()

    def _save(self) -> None:
        directory = self._control.checkpoint_dir
        if directory is None:
            return
        content = {
            "trial_id": self._trial.trial_id,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "progress": replace(self._progress, wall_s=self._wall_s()).to_plain(),
        }
        self._saved_at = time.monotonic()
        try:
            save_checkpoint(directory, self._progress.step, content)
        except OSError as error:
            # A full disk must not end a trial that needs nothing from it.
            _log.warning("no checkpoint of step %d: %s; going on", self._progress.step, error)

    def _found_checkpoint(self) -> bytes:
        directory = self._control.checkpoint_dir
        if directory is None:
            return b""
        return newest_checkpoint(directory, self._trial.trial_id) or b""

    def _restore(self) -> None:
        """Go on from the checkpoint that rank 0 found, if it found one."""
        payload = self._world.broadcast(self._checkpoint if self._world.leads else None)
        self._checkpoint = b""
        if not payload:
            return
        content = parse_checkpoint(payload, self._options.device)
        self._model.load_state_dict(content["model"])
        self._optimizer.load_state_dict(content["optimizer"])
        self._progress = Progress.from_plain(content["progress"])
        self._start_step = self._progress.step


def input_size(model: str, image_size: int) -> int:
    """Side of the network's input for images of this size: the whole image, or a crop of it.

    A network that has no such input takes the largest that the image can give (256 → 227).
    """
    sizes = NETWORKS[model].image_sizes if model in NETWORKS else (image_size,)
    return max((size for size in sizes if size <= image_size), default=image_size)
