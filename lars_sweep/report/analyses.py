"""From what the user named to one analysis per input: shared by fit, recipe and report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lars_sweep.errors import SpecError
from lars_sweep.fit.analysis import (
    KINDS,
    Analysis,
    FitOptions,
    Mapper,
    analyse,
    chosen_trials,
    effective_lrs,
)
from lars_sweep.fit.rows import Rows
from lars_sweep.report.inputs import GAP_COLUMNS, Source, pooled, read_sources, to_rows
from lars_sweep.report.workers import Workers

DEFAULT_DELTA = 0.5


def analyse_inputs(
    inputs: Sequence[Path],
    *,
    kinds: str | None = None,
    delta: float | None = None,
    sigma: float | None = None,
    target: float | None = None,
    baseline: int | None = None,
    pool: bool = False,
    keep_up: bool = True,
    workers: Workers | None = None,
) -> tuple[tuple[Source, Analysis], ...]:
    """Read and fit every input; each with the delta of its own sweep file unless one is stated.

    Many rows are fitted by ``workers``, where there are some.

    Raises:
        SpecError: an unknown kind.
        OutcomeError: an input that is no table of outcomes.
        RunError: a directory that is no run.
    """
    asked = parse_kinds(kinds)
    sources = read_sources(inputs)
    if pool and len(sources) > 1:
        sources = (pooled(sources, delta),)
    analysed = []
    for source in sources:
        options = FitOptions(
            delta=delta or source.delta or DEFAULT_DELTA,
            sigma=sigma,
            target=target,
            baseline=baseline,
            keep_up=keep_up,
            paired=source.paired,
            kinds=asked,
        )
        mapper = map if workers is None else workers.mapper(source.outcomes.num_rows)
        analysed.append((source, analyse_source(source, options, mapper)))
    return tuple(analysed)


def analyse_source(source: Source, options: FitOptions, mapper: Mapper = map) -> Analysis:
    """Fit one input; the order of its rows changes no bit of the result."""
    outcomes = to_rows(_ordered(source.outcomes))
    chosen = pa.array(sorted(chosen_trials(outcomes)), pa.string())
    curves, effective = source.curves, None
    layers = source.layers if source.layers is not None and source.layers.num_rows else None
    noise = source.noise if source.noise is not None and source.noise.num_rows else None
    if layers is not None:
        effective = effective_lrs(to_rows(_ordered(layers.select(_OF_EFFECTIVE))))
    return analyse(
        outcomes,
        None if curves is None else _of_trials(curves.select(GAP_COLUMNS), chosen),
        None if layers is None else _of_trials(layers, chosen),
        noise=None if noise is None else _of_trials(noise, chosen),
        options=options,
        effective=effective,
        mapper=mapper,
    )


_OF_EFFECTIVE = ("trial_id", "step", "layer", "effective_lr")


def _of_trials(table: pa.Table, trials: pa.Array) -> Rows:
    return to_rows(_ordered(table.filter(pc.is_in(table["trial_id"], trials))))


def _ordered(table: pa.Table) -> pa.Table:
    """Rows by trial, step and layer, as far as the table has these: sums then round alike."""
    place = np.zeros(table.num_rows, dtype=np.int64)
    for name in ("trial_id", "step", "layer"):
        if name in table.column_names:
            ranks = _ranks(table[name])
            place = place * (np.max(ranks, initial=0) + 1) + ranks
    if np.all(place[1:] >= place[:-1]):
        return table
    return table.take(pa.array(np.argsort(place, kind="stable")))


def _ranks(column: pa.ChunkedArray) -> np.ndarray:
    """Each value's place among the different ones (n,): numbers sort faster than texts."""
    coded = pc.dictionary_encode(column.combine_chunks(), null_encoding="encode")
    order = pc.array_sort_indices(coded.dictionary).to_numpy()
    return np.asarray(np.argsort(order)[coded.indices.to_numpy()])


def parse_kinds(text: str | None) -> tuple[str, ...]:
    """``lr-interval,batch`` as kinds in their usual order; all for None and all, none for ''."""
    named = {name.strip() for name in ("all" if text is None else text).split(",")} - {""}
    unknown = named - {*KINDS, "all"}
    if unknown:
        raise SpecError(
            f"--kind: got {', '.join(sorted(unknown))}; allowed: {', '.join(KINDS)}, all"
        )
    return KINDS if "all" in named else tuple(kind for kind in KINDS if kind in named)
