"""What a user should know about a run beside its numbers: the queue, and what stands in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from lars_sweep.cluster.jobs import State
from lars_sweep.cluster.reasons import SUCCESSOR
from lars_sweep.dispatch.full_disk import disk_notes
from lars_sweep.dispatch.unreported import Unreported, reasons
from lars_sweep.nouns import count
from lars_sweep.rundir import breaker, nodes
from lars_sweep.rundir.claims import Holding
from lars_sweep.rundir.launches import last_launch
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import Worker
from lars_sweep.worker.canary import verdict
from lars_sweep.worker.fate import Fates
from lars_sweep.worker.look import View

SIMULATED = "SIMULATED: nothing is trained, every number comes from a stated surface"

OTHER_TRIALS = (
    "a network or data of your own that changed are other trials: `lars-sweep launch` into another "
    "directory"
)
"""What `resume` cannot mend: the run keeps the modules that it was launched with."""


def job_counts(view: View) -> dict[str, int]:
    """SLURM's jobs by state, those that wait by their reason; successors in line are left out."""
    words = Counter(
        f"{seen.job.state} ({seen.job.reason})"
        if waits and seen.job.reason
        else str(seen.job.state)
        for seen in view.jobs.values()
        for waits in [seen.job.state in (State.PENDING, State.REQUEUED)]
        if seen.job.reason != SUCCESSOR
    )
    return dict(words.most_common())


def interruptions(
    fates: Fates, held: Mapping[str, Holding], trials: Iterable[str]
) -> dict[str, int]:
    """Why these trials were interrupted."""
    causes = Counter(str(fates.of(t, held[t]).cause or "its worker is gone") for t in trials)
    return dict(causes.most_common())


def failures(rows: Iterable[Mapping[str, object]]) -> dict[str, int]:
    """Why trials failed, from columns status and cause of their outcomes."""
    causes = Counter(str(row["cause"]) for row in rows if row["status"] == "failed")
    return dict(causes.most_common())


def notes(run: RunDir, view: View, hindered: Iterable[str] = ()) -> Iterator[str]:
    """One sentence per thing that needs attention.

    Args:
        run: the run directory.
        view: what SLURM said last.
        hindered: what kept its workers from finishing it.
    """
    if run.trainer == "analytic":
        yield SIMULATED
    yield from hindered
    if (reason := breaker.why_broken(run)) is not None:
        yield f"circuit breaker: {reason}; mend it, then `lars-sweep resume {run.path}`"
    if failed := verdict(run):
        yield (
            f"the canary failed, no worker was released: {failed}; mend it, then "
            f"`lars-sweep resume {run.path}`; {OTHER_TRIALS}"
        )
    if bad := sorted(nodes.excluded(run)):
        yield f"excluded nodes: {', '.join(bad)}"
    if view.trouble:
        yield f"{view.trouble}; what is said about jobs is old"


def hindrances(
    run: RunDir, view: View, died: Sequence[Unreported], known: Sequence[Worker]
) -> Iterator[str]:
    """Why an unfinished run has fewer workers than it was launched with.

    Args:
        run: the run directory.
        view: what SLURM said last.
        died: jobs that ended before they reported in.
        known: workers that did report in.
    """
    yield from disk_notes(run, view, known)
    if refused := refusal(run):
        yield f"{refused}; mend it, then `lars-sweep resume {run.path}`"
    yield from deaths(run, died)


def refusal(run: RunDir) -> str:
    """Why SLURM took not all of the newest launch; empty if it did."""
    launch = last_launch(run)
    return "" if launch is None else launch.refused


def deaths(run: RunDir, died: Sequence[Unreported]) -> Iterator[str]:
    """Why workers died before they reported in, a sentence per reason, and what to do."""
    for reason, many in reasons(died).items():
        alike = [job for job in died if job.reason == reason]
        who = "the canary" if alike[0].canary else count(many, "worker")
        log = f"see {alike[0].log}, " if alike[0].log else ""
        yield (
            f"{who} died before reporting in: {reason}: {log}mend it, then "
            f"`lars-sweep resume {run.path}`"
        )
