"""The seam between a worker and whatever trains: torch, the analytic surface, or nothing at all.

A worker owns the trial's life (claim, heartbeat, outcome); a Trainer owns the mathematics. They
talk at step boundaries only, through `Control`, and never from a signal handler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Literal, Protocol

from lars_sweep.spec.trial import TrialSpec


class Signal(IntEnum):
    """What a worker asks of a trainer at a step boundary; one agreed integer on all ranks."""

    GO_ON = 0
    PRUNE = 1
    PREEMPTED = 2
    OUT_OF_TIME = 3
    STOP = 4
    """Stop without a result: cancelled, or superseded by another attempt."""
    RANK_FAILED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What is measured at one evaluation point; accuracies in top-1 or top-5 percent."""

    step: int
    """Optimizer steps done."""
    epochs: float
    """Passes over the training part done, step·B/N."""
    lr: float
    """LR of the last step taken."""
    train_loss: float
    """Eval mode, fixed training subset, no augmentation."""
    train_accuracy: float
    val_loss: float | None
    """None in the paper protocol, which has no validation part."""
    val_accuracy: float | None
    val_top5: float | None
    test_loss: float | None
    """Filled for the last 5 % of the steps (accuracy_tail) and, in the paper protocol, always."""
    test_accuracy: float | None
    test_top5: float | None
    gradient_norm: float
    """‖∇L‖ of the last step, all parameters."""
    images_per_s: float
    """Training only, since the previous evaluation, over all devices."""
    data_wait: float
    """Share of training time spent waiting for data."""
    memory_gib: float
    """Peak resident (CPU) or allocated (CUDA) memory of the fullest rank."""
    wall_s: float
    """Seconds of training and evaluation over all attempts that led here."""


def choice_accuracy(val: float | None, test: float | None) -> float:
    """The accuracy that a choice may look at, percent: on val, or test in the paper protocol."""
    accuracy = test if val is None else val
    assert accuracy is not None, "every evaluation has one of them"
    return accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNorms:
    """One parameter tensor at one evaluation point (Table 2, Figure 2, PROTOCOL.md 20)."""

    step: int
    layer: str
    weight_norm: float
    gradient_norm: float
    local_lr: float | None
    """λ; None for optimizers that have none."""
    effective_lr: float
    """γλ for LARS, γ otherwise."""
    update_ratio: float
    """‖v‖/‖w‖ of the last step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseNorms:
    """One measurement of gradient noise at weights that stand still (PROTOCOL.md 19)."""

    step: int
    measurement: int
    """Its number at this step, from 0; each sees samples of its own."""
    micro_batch: int
    """Samples b of each micro-batch."""
    micro_batches: int
    """Their number K; together B = K·b samples."""
    micro_square: float
    """s = mean |g_k|² over the micro-batches."""
    mean_square: float
    """L = |mean g_k|²."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """How one attempt ended; ``interrupted`` is no outcome, a later attempt goes on with it."""

    status: Literal["ok", "diverged", "pruned", "failed", "interrupted"]
    """Of a failed one the worker says so: its trainer raised."""
    cause: str | None = None
    """diverged: nonfinite, exploded or dead; ok: untrained or None; failed: the error; else the
    signal's name."""
    signal: Signal = Signal.GO_ON
    start_step: int = 0
    """The step that this attempt started from (> 0 after a resume from a checkpoint)."""
    steps_done: int
    lr_peak: float
    lr_integral: float
    """Σγ_t over the steps done."""
    zero_norm_events: int = 0
    chance: float
    """Accuracy of guessing, percent: the accuracy of a diverged trial."""
    evaluations: Sequence[Evaluation] = field(default_factory=tuple)
    """All evaluation points of the trial so far, those before a resume included."""
    layers: Sequence[LayerNorms] = field(default_factory=tuple)
    noise: Sequence[NoiseNorms] = field(default_factory=tuple)
    """Empty unless the trainer was asked for them."""
    simulated_s: float | None = None
    """Seconds that a simulation states instead of taking them; None: nothing was simulated."""


class Control(Protocol):
    """The worker's side, called by the trainer on rank 0 (the trainer broadcasts the answers)."""

    @property
    def checkpoint_dir(self) -> Path | None:
        """Where this trial's checkpoints live, an existing directory; None: keep none."""

    def at_step(self, steps_done: int) -> Signal:
        """Called after every optimizer step; the heartbeat. Cheap: it limits its own I/O."""

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        """Called after every evaluation; a pruner answers PRUNE here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What a trainer runs on, for provenance and device-hours."""

    device: str
    """As in ``2 × NVIDIA H100 80GB HBM3`` or ``cpu``."""
    devices: int
    """Devices of the world, 1 for a CPU process."""
    versions: str
    """As in ``torch 2.13.0+cpu, numpy 2.4.1``."""


class Trainer(Protocol):
    """Runs trials one after another, alone or with the other ranks of its world."""

    @property
    def hardware(self) -> Hardware: ...

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which calls `train`; the others call `follow`."""

    def follow(self, poll: Callable[[], Signal]) -> None:
        """On ranks above 0: take part in every trial until rank 0 closes.

        Args:
            poll: what this rank's own surroundings ask for; any rank's signal counts for all.
        """

    def close(self) -> None:
        """Every rank calls it once, at the end; on rank 0 it dismisses the followers."""

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        """Run the trial, from its newest good checkpoint if there is one, to its end or a signal.

        Raises:
            TrainError: the trial cannot run here as asked.
            DataError: its data are missing or not those of ``trial.data_id``.
        """
