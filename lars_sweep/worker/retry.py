"""Whether a trial is tried again, by what ended its earlier attempts."""

from __future__ import annotations

from collections import Counter

from lars_sweep.cluster.profile import RetrySection
from lars_sweep.rundir import claims
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.claims import Claim, Release
from lars_sweep.rundir.layout import RunDir
from lars_sweep.worker.exits import is_disk

_KEYS = {
    Cause.NODE_FAILED: "node_failed",
    Cause.KILLED: "killed",
    Cause.HANG: "hang",
    Cause.OUT_OF_MEMORY_HOST: "out_of_memory_host",
    Cause.OUT_OF_MEMORY_CUDA: "out_of_memory_cuda",
    Cause.ERROR: "error",
}


def earlier_releases(run: RunDir, claim: Claim) -> list[Release]:
    """Why each earlier attempt ended, oldest first."""
    said = (
        claims.read_release(run.claims, claim.trial_id, attempt)
        for attempt in range(1, claim.attempt)
    )
    return [release for release in said if release is not None]


def may_retry(releases: list[Release], retry: RetrySection) -> bool:
    """Whether the policy allows another attempt after these ended."""
    times = Counter(release.cause for release in releases)
    return all(times[cause] <= getattr(retry, key) for cause, key in _KEYS.items())


def cause_of(error: BaseException) -> Cause:
    """The cause that an exception in a trial stands for."""
    if is_disk(error):
        return Cause.DISK
    name = type(error).__name__
    if name == "OutOfMemoryError" or "CUDA out of memory" in str(error):
        return Cause.OUT_OF_MEMORY_CUDA
    return Cause.OUT_OF_MEMORY_HOST if isinstance(error, MemoryError) else Cause.ERROR
