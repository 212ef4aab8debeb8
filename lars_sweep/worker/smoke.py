"""``launch --smoke``: two tiny steps of everything that a sweep would train, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from lars_sweep.spec.trainer import Trainer, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.worker.alone import AloneControl
from lars_sweep.worker.ending import JobEnd

BATCH, BN_BATCH, STEPS = 8, 4, 2
"""Micro-batches of one atom each: accumulation 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """One of the tiny trials."""

    trial: TrialSpec
    result: TrialResult
    wall_s: float


def smoke_trials(trials: Iterable[TrialSpec], *, samples: int) -> list[TrialSpec]:
    """The sweep's trials shrunk to two steps, those that became the same only once.

    Network, input size, augmentation, optimizer and precision stay; batch, learning rate, length
    and seed are the same small ones for all.

    Args:
        trials: of the sweep.
        samples: N, the size of the training part that is really there.
    """
    shrunk: dict[str, TrialSpec] = {}
    for trial in trials:
        tiny = replace(
            trial,
            global_batch=BATCH,
            bn_batch=BN_BATCH,
            samples=samples,
            epochs=STEPS * BATCH / samples,
            base_lr=1e-4,
            lr_excluded=None,
            warmup_steps=0,
            warmup_start=0.0,
            poly_origin="global",
            trust_coefficient=None if trial.trust_coefficient is None else 0.001,
            evaluations=1,
            seed=0,
        )
        shrunk.setdefault(tiny.trial_id, tiny)
    return list(shrunk.values())


def smoke(trainer: Trainer, trials: Iterable[TrialSpec]) -> Iterator[Smoke]:
    """Train each, one after the other.

    Args:
        trainer: with a micro-batch of one atom, so that accumulation is exercised.
        trials: from `smoke_trials`.
    """
    ending = JobEnd(None)
    for trial in trials:
        began = time.monotonic()
        result = trainer.train(trial, AloneControl(ending, None))
        yield Smoke(trial=trial, result=result, wall_s=time.monotonic() - began)
