"""What the attempts at a trial took, and why earlier ones gave it back."""

from __future__ import annotations

import time

from lars_sweep.rundir import claims, publish
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
    try:
        released = publish.read_json(run.claims / f"{claim.trial_id}.{claim.attempt}.released")
        return float(str(released["at"]))
    except FileNotFoundError:
        pass
    try:
        return run.attempt_log(claim.trial_id, claim.attempt).stat().st_mtime
    except FileNotFoundError:
        return claim.taken_at


def failures_before(run: RunDir, claim: Claim) -> int:
    """How many earlier attempts ended in an error of their own (not a preemption)."""
    count = 0
    for attempt in range(1, claim.attempt):
        path = run.claims / f"{claim.trial_id}.{attempt}.released"
        try:
            count += str(publish.read_json(path)["reason"]).startswith("failed")
        except FileNotFoundError:
            continue
    return count
