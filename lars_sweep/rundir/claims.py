"""Claims: who runs which trial, decided by names in one directory.

``claims/TRIAL.1`` is published by link, so one worker gets it. When its holder gives the trial
back (``TRIAL.1.released``) or is dead, the next one links ``TRIAL.2``, again exclusively. The
highest number holds the trial; a lower one that still lives finds a higher name at its next step
boundary and stops. Nothing is ever taken away from a claim, so no order of crashes can confuse it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lars_sweep.errors import DamagedFile
from lars_sweep.rundir import publish
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.failpoints import failpoint
from lars_sweep.rundir.records import read_record, warn_of_damage

_NAME = re.compile(r"(?P<trial>[0-9a-f]{16})\.(?P<attempt>\d+)(?P<released>\.released)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A trial taken by a worker: one attempt at it."""

    trial_id: str
    attempt: int
    """1-based."""
    worker_id: str
    taken_at: float
    """Unix time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What a claim's file holds; its name says the rest."""

    worker_id: str
    taken_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What the claims directory says about one trial."""

    attempt: int
    """The highest attempt claimed."""
    released: bool
    """Whether that attempt gave the trial back."""


def holdings(directory: Path) -> Mapping[str, Holding]:
    """Trial id → who is at which attempt, from one directory listing."""
    highest: dict[str, int] = {}
    released: set[tuple[str, int]] = set()
    for name in publish.names(directory):
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        trial, attempt = match["trial"], int(match["attempt"])
        if match["released"]:
            released.add((trial, attempt))
        else:
            highest[trial] = max(attempt, highest.get(trial, 0))
    return {
        trial: Holding(attempt=attempt, released=(trial, attempt) in released)
        for trial, attempt in highest.items()
    }


def take(directory: Path, trial_id: str, attempt: int, worker_id: str) -> Claim | None:
    """Claim ``attempt`` of the trial; None if another worker was first."""
    claim = Claim(trial_id=trial_id, attempt=attempt, worker_id=worker_id, taken_at=time.time())
    content = _Taken(worker_id=worker_id, taken_at=claim.taken_at)
    path = directory / f"{trial_id}.{attempt}"
    if path.exists():  # spares the temporary file; link decides all the same
        return None
    if not publish.publish_new(
        path, publish.to_json_bytes(asdict(content)), written="claim-written"
    ):
        return None
    failpoint("claim-published")
    return claim


def read_claim(directory: Path, trial_id: str, attempt: int) -> Claim | None:
    """The claim; None if its trial was sealed meanwhile.

    A damaged one is held by nobody that is known: it falls like that of a lost worker.
    """
    path = directory / f"{trial_id}.{attempt}"
    try:
        try:
            taken = read_record(path, _Taken)
        except DamagedFile:
            warn_of_damage(path, "who took the trial is not known")
            taken = _Taken(worker_id="", taken_at=path.stat().st_mtime)
    except FileNotFoundError:
        return None
    return Claim(trial_id=trial_id, attempt=attempt, **asdict(taken))


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Why an attempt gave its trial back, said by its worker or by the one who found it dead."""

    cause: Cause | None
    reason: str
    at: float
    """Unix time."""
    nodes: str = ""
    """Where it ran, as SLURM writes it."""


def release(
    directory: Path, claim: Claim, reason: str, *, cause: Cause | None = None, nodes: str = ""
) -> bool:
    """Give the trial back: others may take the next attempt.

    The first to say why is believed; False if another was.
    """
    said = Release(cause=cause, reason=reason, at=time.time(), nodes=nodes)
    path = directory / f"{claim.trial_id}.{claim.attempt}.released"
    return publish.publish_new(path, publish.to_json_bytes(asdict(said)))


def read_release(directory: Path, trial_id: str, attempt: int) -> Release | None:
    """Why that attempt ended; None if it was not given back.

    A damaged file still says that it was.
    """
    path = directory / f"{trial_id}.{attempt}.released"
    try:
        try:
            return read_record(path, Release)
        except DamagedFile:
            warn_of_damage(path, "why the attempt ended is not known")
            return Release(cause=None, reason="reason lost", at=path.stat().st_mtime)
    except FileNotFoundError:
        return None


def restore(
    directory: Path,
    trial_id: str,
    *,
    attempts: int,
    started_at: float,
    wall_s: float,
    reason: str,
) -> None:
    """Put back the claims of a trial that was sealed, all given back: the next attempt is free.

    What they say adds up to what its outcome said. Repeating it changes nothing.

    Args:
        directory: of all claims.
        trial_id: the trial; its outcome still stands.
        attempts: how many there were.
        started_at: when the first began, Unix time.
        wall_s: how long all took together.
        reason: why the last one failed.
    """
    # The highest first, and given back before it is there: at no moment is one free that this
    # is about to write.
    said = Release(cause=Cause.RETRIED, reason=reason, at=started_at + wall_s)
    path = directory / f"{trial_id}.{attempts}.released"
    publish.publish_new(path, publish.to_json_bytes(asdict(said)))
    taken = _Taken(worker_id="", taken_at=started_at)
    for attempt in range(attempts, 0, -1):
        path = directory / f"{trial_id}.{attempt}"
        publish.publish_new(path, publish.to_json_bytes(asdict(taken)))


def is_superseded(directory: Path, claim: Claim) -> bool:
    """Whether another worker has taken the trial over, or has finished it and sealed it away."""
    mine, next_ = (directory / f"{claim.trial_id}.{claim.attempt + i}" for i in (0, 1))
    return next_.exists() or not mine.exists()


def attempts(directory: Path, trial_id: str) -> int:
    """How many attempts at the trial were ever claimed; 0 for none."""
    attempt = 0
    while (directory / f"{trial_id}.{attempt + 1}").exists():
        attempt += 1
    return attempt


def drop(directory: Path, trial_id: str) -> None:
    """Remove the claims of a trial whose outcome is sealed.

    The highest goes first, so that a crash leaves claims that `attempts` still counts.
    """
    for attempt in range(attempts(directory, trial_id), 0, -1):
        for name in (f"{trial_id}.{attempt}.released", f"{trial_id}.{attempt}"):
            (directory / name).unlink(missing_ok=True)


def abandon(directory: Path, claim: Claim) -> None:
    """Undo a claim on a trial that turned out to be finished (it was sealed in between)."""
    (directory / f"{claim.trial_id}.{claim.attempt}").unlink(missing_ok=True)
