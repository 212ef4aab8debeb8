"""How long things may take before they count as wrong."""

from __future__ import annotations

import os

LOOK_EVERY_S = 60.0
"""Time between two questions to the scheduler about a run."""
LOOKS_APART_S = 30.0
"""A job counts as gone when two looks so far apart agree."""
HANG_S = 300.0
"""Shortest time without a step after which a world is ended (else ten median steps)."""
BEGIN_S = 1800.0
"""The same before a trial's first step and during an evaluation: data may have to be read."""
UNKNOWN_S = 600.0
"""A claim older than this is free if no record of its worker can be read."""


def patience(seconds: float) -> float:
    """``seconds``, divided by LARS_SWEEP_PACE (default 1): tests on a small cluster set it."""
    return seconds / float(os.environ.get("LARS_SWEEP_PACE", "1"))
