"""The micro-batches that fit a device, found once and remembered in the user's cache."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch

from lars_sweep.data.places import cache_home
from lars_sweep.errors import LarsSweepError
from lars_sweep.rundir.publish import replace, to_json_bytes
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.numerics import describe

_log = logging.getLogger(__name__)


class FittingSamples:
    """Largest micro-batch, in samples, by device, torch version, network, its input and precision.

    Only what an out-of-memory error has taught is kept. Losing the file loses a few seconds of the
    next trial; delete it after a device was short of memory for another reason.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = f"{describe(device)}, torch {torch.__version__}"
        self._found: dict[str, object] = {}

    def most(self, trial: TrialSpec, image_size: int, samples: int) -> int:
        """What is known to fit, at most ``samples``."""
        known = (_read() | self._found).get(self._key(trial, image_size))
        return min(samples, known) if isinstance(known, int) else samples

    def remember(self, trial: TrialSpec, image_size: int, samples: int) -> None:
        """More than ``samples`` did not fit."""
        self._found[self._key(trial, image_size)] = samples
        try:
            _path().parent.mkdir(parents=True, exist_ok=True)
            replace(_path(), to_json_bytes(_read() | self._found), durable=False)
        except (OSError, LarsSweepError) as error:
            _log.info("micro-batch not remembered: %s", error)

    def _key(self, trial: TrialSpec, image_size: int) -> str:
        return f"{self._device}: {trial.model} at {image_size}, {trial.precision}"


def _path() -> Path:
    return cache_home() / "micro_batches.json"


def _read() -> dict[str, object]:
    try:
        content = json.loads(_path().read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
