"""Named points at which a test can make the process die, as a power cut would.

``LARS_SWEEP_FAILPOINT=name[:n]`` sends SIGKILL to the process when it reaches the point for the
n-th time (default the first). Unset, a failpoint is one dictionary look-up.
"""

from __future__ import annotations

import os
import signal
from typing import Literal, get_args

Failpoint = Literal[
    "plan-written",
    "submit-recorded",
    "submitted",
    "point-published",
    "claim-written",
    "claim-published",
    "mid-epoch",
    "outcome-written",
    "outcome-published",
    "part-written",
    "part-published",
]
FAILPOINTS: tuple[str, ...] = get_args(Failpoint)

_hits: dict[str, int] = {}


def failpoint(name: Failpoint) -> None:
    """Die here if the environment asks for it."""
    wanted = os.environ.get("LARS_SWEEP_FAILPOINT")
    if not wanted:
        return
    wanted_name, _, count = wanted.partition(":")
    if wanted_name == name:
        _hits[name] = _hits.get(name, 0) + 1
        if _hits[name] == int(count or 1):
            os.kill(os.getpid(), signal.SIGKILL)
