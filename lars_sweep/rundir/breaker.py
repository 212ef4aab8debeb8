"""The circuit breaker: after a row of like failures no worker of the run takes a new trial.

So many attempts that end alike say something about the code, the data or the site, not about the
trials. `resume` withdraws it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.records import read_if_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class _Streak:
    """The failures since the last success."""

    kind: str = ""
    count: int = 0


def note_failure(run: RunDir, kind: str, *, stop_after: int) -> None:
    """Count a failed attempt; the breaker falls after ``stop_after`` of one kind in a row.

    Two workers that count at once may count one; the next failure makes up for it.
    """
    path = run.requests / "streak"
    last = read_if_whole(path, _Streak, instead="failures are counted anew") or _Streak()
    streak = _Streak(kind=kind, count=last.count + 1 if last.kind == kind else 1)
    publish.replace(path, publish.to_json_bytes(asdict(streak)), durable=False)
    if streak.count >= stop_after:
        reason = f"{streak.count} attempts in a row ended with: {kind}"
        publish.publish_new(run.requests / "breaker", reason.encode())


def note_success(run: RunDir) -> None:
    """A trial went through: what failed before was not everything's fault."""
    (run.requests / "streak").unlink(missing_ok=True)


def why_broken(run: RunDir) -> str | None:
    """Why no worker takes new trials; None if they do."""
    try:
        return (run.requests / "breaker").read_text(errors="replace") or "reason lost"
    except FileNotFoundError:
        return None


def mend(run: RunDir) -> None:
    """Let workers take trials again."""
    with publish.explained(run.requests):
        for name in ("breaker", "streak"):
            (run.requests / name).unlink(missing_ok=True)
