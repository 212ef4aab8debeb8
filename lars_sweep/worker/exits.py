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


def is_disk(error: BaseException | None) -> bool:
    """Whether an error says, or comes from one that says, that a disk took nothing more."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__
    return False


def status_of(error: BaseException) -> int:
    """Of a job that this error ends."""
    return DISK if is_disk(error) else 1
