"""A control that is asked again at one step, as between measurements of noise there."""

from __future__ import annotations

import pytest

from lars_sweep.rundir import claims, workers
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.trainer import Signal
from lars_sweep.study.plan import load_plan
from lars_sweep.worker import control as module
from lars_sweep.worker.control import TrialControl


def test_it_is_cheap_and_no_standstill(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load_plan(run)
    queued = plan.queue[0]
    claim = claims.take(run.claims, queued.trial_id, 1, "worker")
    assert claim is not None
    mine = workers.this_worker("w", job_id="1", executor="local", restarts=0, nodes="here")
    trial = plan.trial(queued)
    control = TrialControl(run, trial, claim, mine, interrupted=lambda: Signal.GO_ON, prune=None)
    clock, beats, beat = 100.0, 0, workers.beat

    def counted(*arguments: object, **options: object) -> workers.Worker:
        nonlocal beats
        beats += 1
        return beat(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module.workers, "beat", counted)
    monkeypatch.setattr(module.time, "monotonic", lambda: clock)
    first, second = trial.evaluation_steps[:2]

    def asked(step: int, seconds: float) -> tuple[int, float]:
        nonlocal clock
        clock += seconds
        control.at_step(step)
        return beats, control.worker.images_per_s

    asked(first, 2.0)
    assert asked(second, 2.0) == (2, (second - first) * trial.global_batch / 2)
    speed = control.worker.images_per_s
    for _ in range(50):
        assert asked(second, 0.01) == (2, speed)
    assert asked(second, 2.0) == (3, speed), "it is alive and as fast as it was"
    assert asked(second + 1, 2.0) == (4, trial.global_batch / 2)
