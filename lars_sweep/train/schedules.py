"""Learning rates as pure functions of the step: nothing to save, nothing to resume."""

from __future__ import annotations

import math

from lars_sweep.spec.trial import TrialSpec


def learning_rate(trial: TrialSpec, step: int) -> float:
    """γ of step 0..S−1.

    The warm-up rises linearly from ``warmup_start`` and reaches the peak at its last step plus
    one. After it, ``poly`` counts from global step 0 as Caffe does (so that the LR drops when the
    warm-up ends) or from the end of the warm-up as MLPerf does; ``cosine`` counts from the end of
    the warm-up; ``step`` milestones are shares of the whole run.
    """
    if step < trial.warmup_steps:
        rise = step / trial.warmup_steps
        return trial.warmup_start + (trial.base_lr - trial.warmup_start) * rise
    return trial.base_lr * _decay(trial, step)


def excluded_learning_rate(trial: TrialSpec, step: int) -> float:
    """γ of excluded parameters: the same curve, scaled so that ``lr_excluded`` is its base."""
    rate = learning_rate(trial, step)
    if trial.lr_excluded is None:
        return rate
    return rate * (trial.lr_excluded / trial.base_lr)


def lr_peak(trial: TrialSpec) -> float:
    """The largest LR of steps 0..S−1.

    Below the base LR where poly on the global step starts only after a warm-up (PROTOCOL.md 8).
    """
    # Both pieces are monotone, so that the maximum lies at one of their ends.
    ends = {0, min(trial.warmup_steps, trial.steps) - 1, trial.warmup_steps}
    return max(learning_rate(trial, step) for step in ends if 0 <= step < trial.steps)


def lr_integral(trial: TrialSpec, steps_done: int) -> float:
    """Σγ_t over the first ``steps_done`` steps, rounded once."""
    return math.fsum(learning_rate(trial, step) for step in range(steps_done))


def _decay(trial: TrialSpec, step: int) -> float:
    """γ/γ0 after the warm-up."""
    if trial.schedule == "constant":
        return 1.0
    if trial.schedule == "step":
        passed = sum(step >= share * trial.steps for share in trial.milestones)
        return float(trial.step_factor**passed)
    if trial.schedule == "poly" and trial.poly_origin == "global":
        return float((1 - step / trial.steps) ** trial.power)
    progress = (step - trial.warmup_steps) / (trial.steps - trial.warmup_steps)
    if trial.schedule == "poly":
        return float((1 - progress) ** trial.power)
    return (1 + math.cos(math.pi * progress)) / 2
