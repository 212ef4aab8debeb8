"""Exit statuses by which a worker tells SLURM, and whoever asks it later, how it ended."""

from __future__ import annotations

import errno

from lars_sweep.rundir.causes import Cause

NOT_NEEDED = 3
"""There is no trial to take: the job ends before it starts its ranks."""
LOST = 90
"""Another rank is gone; SLURM knows why."""
HANG = 91
DISK = 92
EXITS = {HANG: Cause.HANG, DISK: Cause.DISK}


def is_disk(error: BaseException) -> bool:
    """Whether an error says that the run directory took nothing more."""
    origin = error if isinstance(error, OSError) else error.__cause__
    return isinstance(origin, OSError) and origin.errno in (errno.ENOSPC, errno.EDQUOT)
