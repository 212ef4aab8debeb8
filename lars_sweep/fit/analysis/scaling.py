"""How the best LR grows with the batch: from the LR intervals, or from LRs stated as chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lars_sweep.fit.analysis.entries import Entry, Key, Missing, TooLittle, attempt
from lars_sweep.fit.analysis.groups import Group
from lars_sweep.fit.analysis.learning_rates import LrFinding
from lars_sweep.fit.best_lr import BestLr, LrScaling, best_lrs, lr_scaling, pooled_criterion
from lars_sweep.fit.lr_interval import LrInterval
from lars_sweep.fit.rows import Rows

CHOSEN = "lr_chosen"
"""Column that says of a row that its LR is the outcome of a search that the table does not hold,
as in the paper's Tables 3, 4 and 6."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LrScalingFinding:
    """The best LR against the batch, at one number of epochs or at each batch's own."""

    source: str
    """``intervals``: middles of the fitted intervals; ``stated``: the table's own choices."""
    peak: LrScaling | TooLittle
    """On the largest LR of the schedule, the one to judge by (PROTOCOL.md 8)."""
    nominal: LrScaling | Missing
    """On γ0. γη scales alike: η is one number within a group."""
    effective: LrScaling | TooLittle
    """On measured effective LR, without which "not square root" says nothing of LARS
    (PROTOCOL.md 10)."""

    @property
    def headline(self) -> LrScaling | TooLittle:
        """On the largest LR where it is recorded, else on the nominal one."""
        if isinstance(self.peak, LrScaling) or not isinstance(self.nominal, LrScaling):
            return self.peak
        return self.nominal


def lr_scalings(
    group: Group, found: Iterable[Entry[LrFinding]]
) -> tuple[Entry[LrScalingFinding], ...]:
    """One entry per number of epochs; where each batch had its own, one over all (Table 6)."""
    stated = _stated(group.rows)
    if stated is not None:
        return (_stated_entry(group, stated),)
    entries = []
    for epochs, part in group.at_epochs():
        here = [e.found for e in found if e.key.epochs == epochs and e.key.group == group.key]
        entries.append(part.entry(_scaled([f for f in here if f is not None]), epochs=epochs))
    return tuple(entries)


def _scaled(found: list[LrFinding]) -> LrScalingFinding | Missing:
    nominal = attempt(lambda: lr_scaling(best_lrs([f.interval for f in found])))
    if not isinstance(nominal, LrScaling):
        return nominal
    peaks = [f.peak for f in found if isinstance(f.peak, LrInterval)]
    peak = attempt(lambda: lr_scaling(best_lrs(peaks)))
    return LrScalingFinding(
        source="intervals",
        nominal=nominal,
        peak=peak if isinstance(peak, LrScaling) else TooLittle("the largest LR is not recorded"),
        effective=_effective(found, best_lrs([f.interval for f in found])),
    )


def _effective(found: list[LrFinding], nominal: BestLr) -> LrScaling | TooLittle:
    """The best nominal LRs in effective terms, their errors carried through the local slope."""
    by_batch = {f.interval.global_batch: f.effective for f in found}
    points = []
    for i, (batch, lr) in enumerate(zip(nominal.batch.tolist(), nominal.lr.tolist(), strict=True)):
        measured = by_batch[int(batch)]
        if isinstance(measured, TooLittle):
            continue
        value = measured.at(lr)
        above, below = measured.at(lr * np.sqrt(2.0)), measured.at(lr / np.sqrt(2.0))
        if value is None or above is None or below is None:
            continue
        slope = float(np.log(above / below) / np.log(2.0))
        se = np.nan if nominal.se is None else float(nominal.se[i]) * slope
        points.append((batch, value, se))
    columns = np.array(points, dtype=np.float64).reshape(len(points), 3).T
    errors = columns[2]
    known = bool(np.all(np.isfinite(errors)) and np.all(errors > 0)) and len(errors) > 0
    scaling = lr_scaling(BestLr(batch=columns[0], lr=columns[1], se=errors if known else None))
    if isinstance(scaling, LrScaling):
        return scaling
    return TooLittle(f"measured effective LR: {scaling.reason}")


def _stated(rows: Rows) -> Rows | None:
    """Rows whose LR is stated as chosen, None where there are none."""
    if CHOSEN not in rows or "base_lr" not in rows:
        return None
    chosen = rows.where((rows.floats(CHOSEN) > 0) & (rows.floats("base_lr") > 0))
    return chosen if len(chosen) else None


def _stated_entry(group: Group, rows: Rows) -> Entry[LrScalingFinding]:
    per_batch = [part for _, part in rows.groups(("global_batch",))]
    if any(len(np.unique(part.floats("base_lr"))) > 1 for part in per_batch):
        return group.entry(TooLittle("a batch has several LRs that are stated as chosen"))
    points = _points(per_batch, "base_lr")
    nominal = attempt(lambda: lr_scaling(points))
    if not isinstance(nominal, LrScaling):
        return group.entry(nominal)
    peak: LrScaling | Missing = TooLittle("the largest LR of the schedule is not recorded")
    if "lr_peak" in rows and np.all(rows.floats("lr_peak") > 0):
        peak = attempt(lambda: lr_scaling(_points(per_batch, "lr_peak")))
    return group.entry(
        LrScalingFinding(
            source="stated",
            nominal=nominal,
            peak=peak if isinstance(peak, LrScaling) else TooLittle(peak.reason),
            effective=TooLittle("no layer norms are recorded"),
        )
    )


def _points(per_batch: list[Rows], column: str) -> BestLr:
    return BestLr(
        batch=np.array([float(part["global_batch"][0]) for part in per_batch]),
        lr=np.array([float(part.floats(column)[0]) for part in per_batch]),
        se=None,
    )


def lr_column(key: Key, scaling: LrScaling) -> tuple[object, ...]:
    """Model, batches and best LRs: settings that share them hold one finding, not several.

    As the least and most augmentation of the paper's Table 4 do.
    """
    own = scaling.points
    return (key["model"], *own.batch.tolist(), *own.lr.tolist())


def pooled_scaling(
    found: Iterable[Entry[LrScalingFinding]],
) -> tuple[Entry[dict[str, float]], ...]:
    """AICc of every form over all models that have a best LR, at most once for the same points.

    One network's five batches rarely tell the forms apart; several together may.
    """
    points: dict[tuple[object, ...], BestLr] = {}
    for entry in found:
        scaling = None if entry.found is None else entry.found.headline
        if isinstance(scaling, LrScaling):
            points.setdefault(lr_column(entry.key, scaling), scaling.points)
    models = {str(key[0]) for key in points}
    if len(models) < 2:
        return ()
    key = Key(conditions=(("model", " + ".join(sorted(models))),))
    criteria = pooled_criterion(list(points.values()))
    return (Entry(key=key, pooled=("model",), result=criteria),) if criteria else ()
