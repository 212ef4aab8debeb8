"""What the attempts at a trial took, and why earlier ones gave it back."""

from __future__ import annotations

import time

from lars_sweep.rundir import claims
from lars_sweep.rundir.claims import Claim
from lars_sweep.rundir.layout import RunDir
from lars_sweep.worker.record import Effort


def effort_of(run: RunDir, claim: Claim) -> Effort:
    """Time over all attempts; of one that died without a word, up to its last evaluation."""
    wall_s = 0.0
    started_at = claim.taken_at
    for attempt in range(1, claim.attempt):
        earlier = claims.read_claim(run.claims, claim.trial_id, attempt)
        if earlier is not None:
            started_at = min(started_at, earlier.taken_at)
            wall_s += max(0.0, _ended_at(run, earlier) - earlier.taken_at)
    now = time.time()
    return Effort(
        attempts=claim.attempt,
        wall_s=wall_s + now - claim.taken_at,
        started_at=started_at,
        finished_at=now,
    )


def _ended_at(run: RunDir, claim: Claim) -> float:
    released = claims.read_release(run.claims, claim.trial_id, claim.attempt)
    if released is not None:
        return released.at
    try:
        return run.attempt_log(claim.trial_id, claim.attempt).stat().st_mtime
    except FileNotFoundError:
        return claim.taken_at
