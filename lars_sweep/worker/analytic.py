"""A trainer that looks its results up on a stated surface: a whole sweep, simulated in seconds.

The surface is `lars_sweep.fit.surface`'s, fitted to the paper's tables. Noise, divergence and
curves are functions of the trial alone, so that a trial repeated anywhere ends the same. Durations
are stated, not slept. Everything that it makes says that it is simulated.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.surface import SIGMA, AssumedSurface, assumed_surface
from lars_sweep.spec.trainer import Control, Evaluation, Hardware, Signal, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.schedules import learning_rate, lr_peak
from lars_sweep.worker.untrained import Untrained, ended_by

MARK = "SIMULATED (analytic surface, nothing was trained)"
SHARED_NOISE = 0.5
"""Share of the seed noise's variance that depends on the seed alone: what paired seeds share."""
JITTER = 0.1
"""Standard deviation of one evaluation about its run's curve, points; val and test each."""
RISE = 5.0
"""A run has come ``1 - exp(-RISE p)`` of its way after the share p of its steps."""
UNDECAYED = 4.0
"""Points per octave that an LR above the best one costs until it has decayed."""
IMAGES_PER_S, HALF_RATE_BATCH = 2000.0, 256.0
"""Stated throughput of one device at a large batch, and the batch at half of it."""
EVALUATION_S = 1.0
TRAIN_LEAD = 1.0
"""Points by which the accuracy on the training part leads."""
MOMENTUM = 0.9
"""Of the tables; the LR that counts is that over 1 - momentum."""
TRUST = 0.001
"""Likewise; the LR of LARS that counts is that times the trust coefficient."""
_INTEGRAL_POINTS = 257


class AnalyticTrainer(Untrained):
    """See `lars_sweep.spec.trainer.Trainer`."""

    @property
    def hardware(self) -> Hardware:
        return Hardware(device=MARK, devices=1, versions=MARK)

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        """Read the trial off the surface; see `lars_sweep.spec.trainer.Trainer`."""
        fate = fate_of(trial)
        evaluations: list[Evaluation] = []
        signal, step = Signal.GO_ON, 0
        for step in trial.evaluation_steps:
            if fate.diverges_after is not None and step > fate.diverges_after:
                step = fate.diverges_after
                break
            signal = control.at_step(step)
            if signal is Signal.GO_ON:
                evaluations.append(_evaluation(trial, fate, step))
                signal = control.at_evaluation(evaluations[-1])
            if signal is not Signal.GO_ON:
                break
        diverged = fate.diverges_after is not None and signal is Signal.GO_ON
        return TrialResult(
            status="diverged" if diverged else ended_by(signal),
            cause="exploded" if diverged else None,
            signal=signal,
            steps_done=step,
            lr_peak=lr_peak(trial),
            lr_integral=_lr_integral(trial, step),
            chance=fate.surface.chance,
            evaluations=tuple(evaluations),
            simulated_s=_seconds(trial, step, len(evaluations)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFate:
    """How a trial is going to end, before it has begun."""

    surface: AssumedSurface
    octaves: float
    """Of the LR that counts above the best one."""
    accuracy: float
    """At the end, seed noise included, percent."""
    diverges_after: int | None
    """Steps; None: it does not diverge."""


def fate_of(trial: TrialSpec) -> TrialFate:
    """What the surface and the trial's own random numbers decide."""
    surface = assumed_surface(
        trial.model,
        trial.optimizer,
        dataset=trial.dataset,
        samples=trial.samples,
        augmentation=trial.augmentation,
    )
    lr = trial.base_lr * (1.0 - MOMENTUM) / max(1.0 - trial.momentum, 1e-6)
    if trial.trust_coefficient is not None:
        lr *= trial.trust_coefficient / TRUST
    rates, batch = np.array([lr]), float(trial.global_batch)
    of_seed = _random(f"seed {trial.seed}").standard_normal()
    own = _random(f"trial {trial.trial_id}")
    noise = math.sqrt(SHARED_NOISE) * of_seed + math.sqrt(1 - SHARED_NOISE) * own.standard_normal()
    lost = own.random() < float(surface.divergence(rates, batch)[0])
    when = max(1, math.ceil(trial.steps * own.uniform(0.02, 0.3)))
    accuracy = float(surface.accuracy(rates, batch, trial.steps)[0]) + SIGMA * noise
    return TrialFate(
        surface=surface,
        octaves=math.log2(lr / surface.best_lr(batch)),
        accuracy=min(max(accuracy, surface.chance), 100.0),
        diverges_after=when if lost else None,
    )


def _random(name: str) -> np.random.Generator:
    """A stream of its own for every name, the same on every machine."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))


def _evaluation(trial: TrialSpec, fate: TrialFate, step: int) -> Evaluation:
    chance, share = fate.surface.chance, step / trial.steps
    lr = learning_rate(trial, step - 1)
    came = (1.0 - math.exp(-RISE * share)) / (1.0 - math.exp(-RISE))
    late = UNDECAYED * max(0.0, fate.octaves) * lr / trial.base_lr * (1.0 - share)
    level = chance + (fate.accuracy - chance) * came - late
    noise = JITTER * _random(f"evaluation {trial.trial_id} {step}").standard_normal(2)
    val, test = (min(max(level + float(z), chance), 100.0) for z in noise)
    train = min(max(level + TRAIN_LEAD, chance), 100.0)
    held_out = trial.protocol == "held_out"
    return Evaluation(
        step=step,
        epochs=step * trial.global_batch / trial.samples,
        lr=lr,
        train_loss=_loss(train),
        train_accuracy=train,
        val_loss=_loss(val) if held_out else None,
        val_accuracy=val if held_out else None,
        val_top5=_top5(val) if held_out else None,
        test_loss=_loss(test),
        test_accuracy=test,
        test_top5=_top5(test),
        gradient_norm=1.0,
        images_per_s=_images_per_s(trial),
        data_wait=0.0,
        memory_gib=0.0,
        wall_s=_seconds(trial, step, math.ceil(share * trial.evaluations)),
    )


def _loss(accuracy: float) -> float:
    """A loss that falls as the accuracy rises, nats: that of a mean probability of accuracy."""
    return -math.log(accuracy / 100.0)


def _top5(accuracy: float) -> float:
    """Half of the errors are not among the first five."""
    return 100.0 - 0.5 * (100.0 - accuracy)


def _images_per_s(trial: TrialSpec) -> float:
    return IMAGES_PER_S * trial.global_batch / (trial.global_batch + HALF_RATE_BATCH)


def _seconds(trial: TrialSpec, steps: int, evaluations: int) -> float:
    """Stated seconds of the first steps and evaluations."""
    return steps * trial.global_batch / _images_per_s(trial) + EVALUATION_S * evaluations


def _lr_integral(trial: TrialSpec, steps: int) -> float:
    """Σγ_t by the trapezoid rule over at most 257 of the steps: a simulation sums no million."""
    if steps < 1:
        return 0.0
    at = np.unique(np.linspace(0, steps - 1, min(steps, _INTEGRAL_POINTS)).round().astype(int))
    rates = np.array([learning_rate(trial, int(step)) for step in at])
    if len(at) == 1:
        return float(rates[0])
    between = float(np.sum(0.5 * (rates[1:] + rates[:-1]) * np.diff(at)))
    return between + 0.5 * float(rates[0] + rates[-1])
