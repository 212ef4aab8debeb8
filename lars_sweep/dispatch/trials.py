"""Which trials of a run are finished, and which one the beginning of an id names."""

from __future__ import annotations

from collections.abc import Iterable

from lars_sweep.errors import SpecError
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir.layout import RunDir

_SHOWN = 4


def finished_ids(run: RunDir) -> set[str]:
    """Ids of the trials that have an outcome."""
    return {str(row["trial_id"]) for row in load_table(run, "outcomes", ["trial_id"]).to_pylist()}


def named_trial(run: RunDir, beginning: str, ids: Iterable[str], *, kind: str = "trial") -> str:
    """The one id that begins so.

    Args:
        run: the run directory.
        beginning: what the user gave.
        ids: of the trials that it may name.
        kind: what those are, for the message.

    Raises:
        SpecError: none does, or several do.
    """
    found = sorted(trial_id for trial_id in ids if trial_id.startswith(beginning))
    if len(found) == 1:
        return found[0]
    if not found:
        raise SpecError(
            f"no {kind} of {run.path} begins with {beginning!r}: `lars-sweep collect` writes the "
            "ids of finished trials, `lars-sweep prune --where 'epochs_done >= 0' --dry-run` "
            "prints those of the others"
        )
    more = ", …" if len(found) > _SHOWN else ""
    raise SpecError(
        f"{len(found)} {kind}s of {run.path} begin with {beginning!r}: "
        f"{', '.join(found[:_SHOWN])}{more}: give more of the id"
    )
