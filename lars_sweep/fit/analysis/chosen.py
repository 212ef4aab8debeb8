"""The LR that each (batch, epochs) chooses, and the accuracy there: the paper's Tables 3 to 6."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis.entries import TooLittle
from lars_sweep.fit.analysis.groups import Group, choice_metric, report_metric
from lars_sweep.fit.analysis.learning_rates import Codes, codes
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.rows import Rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One row of a table of the paper's layout."""

    global_batch: int
    epochs: float
    steps: int
    """``S = ceil(E N/B)``."""
    lr: float | None
    """Nominal LR, None where the table has none."""
    lr_peak: float | None
    warmup_epochs: float | None
    lrs: int
    """LRs with a finished or diverged seed; 1: nothing was chosen."""
    at_edge: bool
    """Whether no such LR lies beyond it on one side: a better one may."""
    seeds: int
    diverged: int
    """Seeds among them that diverged at the chosen LR."""
    accuracy: float
    """Mean over the seeds of what is reported, percent; a diverged one counts as chance."""
    sd: float | None
    """Standard deviation over the seeds, None below two."""


def choose(group: Group) -> tuple[Chosen, ...] | TooLittle:
    """The best LR of every (batch, epochs) by the choosing metric.

    A diverged seed counts as chance, the accuracy of its row. An LR with a pruned seed is
    not eligible: what it would have reached is unknown (PROTOCOL.md 7). Equal means: the middle
    LR of them, farthest from where it falls. The seeds that chose are the ones reported, so a
    maximum over many LRs is too good by selection; the fits read the height of the flat top
    instead.
    """
    found = [
        _choose(rows, int(batch), float(epochs))
        for (batch, epochs), rows in group.rows.groups(("global_batch", "epochs"))
    ]
    kept = tuple(one for one in found if one is not None)
    return kept or TooLittle(_why_none(group.rows))


def _why_none(rows: Rows) -> str:
    """Why no LR of any cell may be chosen."""
    if not np.any(rows.status == "ok"):
        ends = [end for end in ("diverged", "pruned") if np.any(rows.status == end)]
        return f"no run finished: all {' or '.join(ends)}" if ends else "no run finished"
    return "every LR with a finished seed has a pruned one as well, which says nothing of its end"


_READ = ("base_lr", "status", "accuracy", "samples", "lr_peak", "warmup_epochs")


def _choose(rows: Rows, batch: int, epochs: float) -> Chosen | None:
    choose_by, report = choice_metric(rows), report_metric(rows)
    rows = rows.only((choose_by, report, *_READ))
    settings = list(rows.groups(("base_lr",))) if "base_lr" in rows else [((None,), rows)]
    tested = [i for i, (_, seeds) in enumerate(settings) if np.any(seeds.status != "pruned")]
    eligible = [
        (float(np.mean(_counted(seeds, choose_by))), i)
        for i, (_, seeds) in enumerate(settings)
        if np.any(seeds.status == "ok") and not np.any(seeds.status == "pruned")
    ]
    if not eligible:
        return None
    top = max(eligible)[0]
    equal = [i for mean, i in eligible if mean == top]
    best = equal[(len(equal) - 1) // 2]
    (lr,), seeds = settings[best]
    reached = _counted(seeds, report)
    return Chosen(
        global_batch=batch,
        epochs=epochs,
        steps=int(np.ceil(epochs * float(seeds.floats("samples")[0]) / batch)),
        lr=None if lr is None else float(lr),
        lr_peak=_constant(seeds, "lr_peak"),
        warmup_epochs=_constant(seeds, "warmup_epochs"),
        lrs=len(tested),
        at_edge=len(tested) > 1 and best in (tested[0], tested[-1]),
        seeds=len(reached),
        diverged=int(np.sum(seeds.status == "diverged")),
        accuracy=float(np.mean(reached)),
        sd=float(np.std(reached, ddof=1)) if len(reached) > 1 else None,
    )


def _counted(seeds: Rows, metric: str) -> FloatArray:
    """The metric of every seed; a diverged one without it counts with its accuracy, or as 0."""
    values = seeds.floats(metric)
    values = np.where(np.isfinite(values), values, seeds.floats("accuracy"))
    return np.where(np.isfinite(values), values, 0.0)


def _constant(rows: Rows, name: str) -> float | None:
    """A column's value where all rows share it."""
    if name not in rows:
        return None
    values = rows.floats(name)
    return float(values[0]) if np.all(values == values[0]) else None


def rows_of_runs(
    group: Group, chosen: tuple[Chosen, ...], table: Rows
) -> Iterator[tuple[Chosen, Rows]]:
    """Each chosen LR with the rows of a table of many per trial that are of its runs."""
    found = codes(table["trial_id"])  # once for all of them
    for one in chosen:
        yield one, of_trials(table, set(chosen_rows(group, (one,))["trial_id"].tolist()), found)


def of_trials(table: Rows, trials: Container[str], found: Codes | None = None) -> Rows:
    """The rows of these trials; ``found``: `codes` of the column trial_id, if known."""
    names, index = found or codes(table["trial_id"])
    return table.where(np.array([name in trials for name in names], dtype=bool)[index])


def chosen_rows(group: Group, chosen: tuple[Chosen, ...]) -> Rows:
    """The finished rows of the chosen LRs."""
    wanted = {(one.global_batch, one.epochs, one.lr) for one in chosen}
    rows = group.rows
    lrs = rows.floats("base_lr").tolist() if "base_lr" in rows else [None] * len(rows)
    columns = (rows["global_batch"].tolist(), rows.floats("epochs").tolist(), lrs)
    keys = zip(*columns, strict=True)
    keep = [(int(b), e, None if lr is None or lr != lr else lr) in wanted for b, e, lr in keys]
    return rows.where(np.array(keep, dtype=bool) & (rows.status == "ok"))
