"""When a trial counts as diverged or untrained (PROTOCOL.md 6)."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Cause = Literal["nonfinite", "exploded", "dead"]

PATIENCE = 3
"""Consecutive evaluations after which a sign of divergence is believed."""
_EXPLODED = 2.0
_VANISHED = 1e-6
_CONSTANT = 1e-6
_NEAR_CHANCE = 1.5
_LAG = 2
"""Steps by which a CUDA device may run ahead of the check for finite numbers."""
_NEVER = 2**62


@dataclass(slots=True)
class DivergenceWatch:
    """Counts consecutive bad evaluations; its fields are plain numbers and go into checkpoints.

    A non-finite loss, gradient norm or weight needs no patience and is seen at its step by the
    training loop; at an evaluation it counts at once too.
    """

    warmup_steps: int
    initial_loss: float = math.nan
    """Loss of the first step's batch."""
    initial_gradient: float = math.nan
    """‖∇L‖ over weight matrices and filters at the first step."""
    exploded: int = 0
    dead: int = 0

    def begin(self, loss: float, gradient: float) -> None:
        """Note what the first step measured, before any update."""
        self.initial_loss, self.initial_gradient = loss, gradient

    def cause(
        self, *, step: int, train_loss: float, logit_spread: float, gradient: float
    ) -> Cause | None:
        """Judge one evaluation; None: the trial goes on.

        Args:
            step: optimizer steps done.
            train_loss: in evaluation mode on the fixed training subset.
            logit_spread: largest range of a logit over samples, relative to the largest logit or 1.
            gradient: ‖∇L‖ of the last step over weight matrices and filters. Biases are left out:
                the one of the last layer has a gradient even when every unit before it is dead.
        """
        if not (math.isfinite(train_loss) and math.isfinite(gradient)):
            return "nonfinite"
        blown = step > self.warmup_steps and train_loss > _EXPLODED * self.initial_loss
        self.exploded = self.exploded + 1 if blown else 0
        flat = logit_spread <= _CONSTANT and gradient <= _VANISHED * self.initial_gradient
        self.dead = self.dead + 1 if flat else 0
        if self.exploded >= PATIENCE:
            return "exploded"
        if self.dead >= PATIENCE:
            return "dead"
        return None


def untrained(train_accuracy: float, chance: float) -> bool:
    """Whether a finished trial is near chance: below 1.5 times it. An outcome, not divergence."""
    return train_accuracy < _NEAR_CHANCE * chance


class FiniteWatch:
    """Finds the first step with a non-finite number, on CUDA without waiting for the device.

    There the verdict arrives two steps late but names the right step; the lag is a number of steps,
    not a time, so that all ranks stop together.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._first_bad = torch.tensor(_NEVER, device=device)
        self._in_flight: deque[tuple[Tensor, torch.cuda.Event]] = deque()

    def first_bad(self, step: int, total: Tensor) -> int | None:
        """Note a step; the first bad one known by now, or None.

        Args:
            step: its number.
            total: (), its loss plus norms: as good as all of them, as norms cancel nothing.
        """
        if not self._cuda:
            return None if math.isfinite(float(total)) else step
        bad = torch.where(total.isfinite(), _NEVER, step)
        self._first_bad = torch.minimum(self._first_bad, bad)
        copy = torch.empty((), dtype=torch.int64, pin_memory=True)
        copy.copy_(self._first_bad, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record()
        self._in_flight.append((copy, event))
        return self._oldest() if len(self._in_flight) > _LAG else None

    def flush(self) -> int | None:
        """The first bad step of all noted so far, waiting for the device."""
        found = None
        while self._in_flight:
            found = self._oldest()
        return found

    def _oldest(self) -> int | None:
        copy, event = self._in_flight.popleft()
        event.synchronize()
        first = int(copy)
        return None if first == _NEVER else first
