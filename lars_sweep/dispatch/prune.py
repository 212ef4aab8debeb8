"""Pruning by hand: trials that run stop at their next step boundary, waiting ones never start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lars_sweep.dispatch.trials import finished_ids, named_trial
from lars_sweep.dispatch.where import Where
from lars_sweep.errors import SpecError
from lars_sweep.outcomes.schema import OUTCOMES
from lars_sweep.rundir import attempts, claims, requests
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.trainer import choice_accuracy
from lars_sweep.study.asked import known_queue
from lars_sweep.study.plan import Plan, QueuedTrial, load_plan
from lars_sweep.worker.record import setting_columns

COLUMNS = tuple(column.name for column in OUTCOMES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """A trial that is asked to stop."""

    trial_id: str
    stratum: str
    epochs_done: float
    accuracy_val: float | None


def prune(
    run: RunDir, *, where: str | None = None, trials: Sequence[str] = (), dry_run: bool = False
) -> list[Pruned]:
    """Ask that unfinished trials be pruned.

    Args:
        run: the run directory.
        where: a condition over outcome columns, on what each trial has measured so far.
        trials: ids, or beginnings of them.
        dry_run: only say which.

    Raises:
        SpecError: neither is given, the condition is not understood, or an id is no unfinished
            trial's.
    """
    if where is None and not trials:
        raise SpecError("prune: give --where or --trial")
    condition = None if where is None else Where(where, COLUMNS)
    rows = list(unfinished(run, load_plan(run)))
    chosen = [row for row in rows if condition is not None and condition.holds(row)]
    by_id = {str(row["trial_id"]): row for row in rows}
    chosen += [by_id[named_trial(run, wanted, by_id, kind="unfinished trial")] for wanted in trials]
    pruned = {str(row["trial_id"]): _pruned(row) for row in chosen}
    if not dry_run:
        reason = f"--where {where}" if where else "--trial"
        for trial_id in pruned:
            requests.request_prune(run, trial_id, reason)
    return list(pruned.values())


def unfinished(run: RunDir, plan: Plan) -> Iterator[dict[str, object]]:
    """A row in outcome columns for each trial without an outcome, from its newest evaluation."""
    holdings = claims.holdings(run.claims)
    done = finished_ids(run)
    for queued in known_queue(run, plan):
        if queued.trial_id not in done:
            holding = holdings.get(queued.trial_id)
            yield _row(run, plan, queued, holding.attempt if holding else 0)


def _row(run: RunDir, plan: Plan, queued: QueuedTrial, attempt: int) -> dict[str, object]:
    trial = plan.trial(queued)
    row: dict[str, object] = {
        "trial_id": queued.trial_id,
        "sweep": run.sweep,
        "stratum": queued.stratum,
        "point": queued.point,
        "attempts": attempt,
        "steps_done": 0,
        "epochs_done": 0.0,
        **setting_columns(trial),
    }
    log = attempts.read_attempt_log(run.attempt_log(queued.trial_id, attempt)) if attempt else []
    if log:
        last = log[-1]
        row |= {
            "steps_done": last["step"],
            "epochs_done": last["epochs"],
            "accuracy_val": choice_accuracy(last["val_accuracy"], last["test_accuracy"]),
            "accuracy": last["test_accuracy"],
            "train_loss": last["train_loss"],
            "test_loss": last["test_loss"],
            "images_per_s": last["images_per_s"],
            "wall_s": last["wall_s"],
        }
    return row


def _pruned(row: dict[str, object]) -> Pruned:
    accuracy = row.get("accuracy_val")
    return Pruned(
        trial_id=str(row["trial_id"]),
        stratum=str(row["stratum"]),
        epochs_done=float(str(row["epochs_done"])),
        accuracy_val=None if accuracy is None else float(str(accuracy)),
    )
