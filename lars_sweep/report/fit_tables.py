"""Every fit as flat records: what CSV files hold at full precision and the terminal in short."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from lars_sweep.fit.analysis import Analysis, Entry
from lars_sweep.fit.analysis.entries import T
from lars_sweep.fit.rows import CONDITIONS
from lars_sweep.report import fit_records as of
from lars_sweep.report.fit_records import Record, Value


@dataclass(frozen=True, slots=True, kw_only=True)
class FitTable:
    """All records of one part of an analysis."""

    name: str
    """Stem of its file."""
    kind: str
    """The question that it answers, as ``--kind`` names it; ``chosen`` for what all rest on."""
    title: str
    records: tuple[Record, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns: the key's first, then in order of appearance, the note last."""
        names = list(dict.fromkeys(name for record in self.records for name in record))
        return tuple(sorted(names, key=_rank))


def _rank(name: str) -> int:
    if name in CONDITIONS and name != "warmup_epochs":
        return 1 if name in ("global_batch", "epochs") else 0
    return 3 if name == "note" else 2


def fit_tables(analysis: Analysis) -> tuple[FitTable, ...]:
    """The tables of what an analysis holds; one without records is left out."""
    made = (
        FitTable(name=name, kind=kind, title=title, records=tuple(records(analysis)))
        for name, kind, title, records in _TABLES
    )
    return tuple(table for table in made if table.records)


def _each(
    entries: Iterable[Entry[T]], records: Callable[[T], Iterable[Record]], *, missing: bool = True
) -> Iterator[Record]:
    """Key columns, then those of each record; a note alone where there is no result.

    Without ``missing`` such entries are left out: another table of the same question has them.
    """
    for entry in entries:
        key: dict[str, Value] = dict(entry.key.conditions)
        if entry.key.global_batch is not None:
            key["global_batch"] = entry.key.global_batch
        if entry.key.epochs is not None:
            key["epochs"] = entry.key.epochs
        found = entry.found
        if found is None and missing:
            yield {**key, "note": getattr(entry.result, "reason", "")}
        for record in records(found) if found is not None else ():
            yield {**key, **record}


def _steps_of(analysis: Analysis) -> Iterator[Record]:
    """The forms once per group, whichever question had them fitted."""
    yield from _each(analysis.epochs, of.forms_records, missing=False)
    told = {entry.key.group for entry in analysis.epochs}
    for entry in analysis.batch:
        if entry.key.group not in told:
            told.add(entry.key.group)
            yield from _each([entry], of.forms_records, missing=False)


_TABLES: tuple[tuple[str, str, str, Callable[[Analysis], Iterable[Record]]], ...] = (
    (
        "chosen-lr",
        "chosen",
        "Accuracy at the chosen LR",
        lambda a: _each(a.chosen, of.chosen_records),
    ),
    (
        "lr-interval",
        "lr-interval",
        "Good learning rates",
        lambda a: _each(a.lr_interval, of.lr_interval_records),
    ),
    (
        "lr-units",
        "lr-interval",
        "The same in other units of LR",
        lambda a: _each(a.lr_interval, of.in_other_units_records, missing=False),
    ),
    (
        "lr-verdicts",
        "lr-interval",
        "Verdict on each LR",
        lambda a: _each(a.lr_interval, of.verdicts_records, missing=False),
    ),
    (
        "lr-width-ratio",
        "lr-interval",
        "Width of LARS's interval over SGD's, in octaves",
        lambda a: _each(a.width_ratio, of.ratio_records),
    ),
    (
        "epochs-to-target",
        "epochs",
        "Epochs that hold the target",
        lambda a: _each(a.epochs, of.epochs_records),
    ),
    ("steps-forms", "epochs", "Forms of accuracy against steps", _steps_of),
    (
        "batch-losing-delta",
        "batch",
        "Where accuracy falls with the batch",
        lambda a: _each(a.batch, of.batch_records),
    ),
    (
        "batch-losses",
        "batch",
        "Points lost against the baseline batch",
        lambda a: _each(a.batch, of.losses_records, missing=False),
    ),
    (
        "lars-against-sgd",
        "batch",
        "Change from the baseline batch, LARS minus SGD, points",
        lambda a: _each(a.contrast, of.contrast_records),
    ),
    (
        "best-lr",
        "best-lr",
        "Best LR against the batch",
        lambda a: _each(a.best_lr, of.best_lr_records),
    ),
    (
        "best-lr-forms",
        "best-lr",
        "Forms of the best LR against the batch",
        lambda a: _each(a.best_lr, of.lr_forms_records, missing=False),
    ),
    (
        "best-lr-pooled",
        "best-lr",
        "The same over all models, each with parameters of its own: the lower the better",
        lambda a: _each(a.best_lr_pooled, of.pooled_records),
    ),
    (
        "critical-batch",
        "critical-batch",
        "Where bigger batches stop paying in steps",
        lambda a: _each(a.critical_batch, of.critical_records),
    ),
    (
        "wall-clock",
        "critical-batch",
        "Hours to the target",
        lambda a: _each(a.critical_batch, of.clock_records, missing=False),
    ),
    (
        "noise-scale",
        "critical-batch",
        "Gradient noise scale, samples",
        lambda a: _each(a.noise_scale, of.noise_records),
    ),
    (
        "generalization-gap",
        "gap",
        "Generalization gap against the smallest batch, nats",
        lambda a: _each(a.gap, of.gap_records),
    ),
    (
        "layer-norms",
        "layers",
        "Norms at the first evaluation point",
        lambda a: _each(a.layers, of.layers_records, missing=False),
    ),
    (
        "divergence-edge",
        "layers",
        "LR at which the first layer breaks",
        lambda a: _each(a.layers, of.edges_records),
    ),
)
