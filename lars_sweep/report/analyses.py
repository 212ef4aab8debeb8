"""From what the user named to one analysis per input: shared by fit, recipe and report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from lars_sweep.errors import SpecError
from lars_sweep.fit.analysis import KINDS, Analysis, FitOptions, analyse
from lars_sweep.report.inputs import GAP_COLUMNS, Source, pooled, read_sources, to_rows

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
) -> tuple[tuple[Source, Analysis], ...]:
    """Read and fit every input; each with the delta of its own sweep file unless one is stated.

    Raises:
        SpecError: an unknown kind.
        OutcomeError: an input that is no table of outcomes.
        RunError: a directory that is no run.
    """
    asked = parse_kinds(kinds)
    sources = read_sources(inputs)
    if pool and len(sources) > 1:
        sources = (pooled(sources, delta),)
    return tuple(
        (
            source,
            analyse_source(
                source,
                FitOptions(
                    delta=delta or source.delta or DEFAULT_DELTA,
                    sigma=sigma,
                    target=target,
                    baseline=baseline,
                    keep_up=keep_up,
                    paired=source.paired,
                    kinds=asked,
                ),
            ),
        )
        for source in sources
    )


def analyse_source(source: Source, options: FitOptions) -> Analysis:
    """Fit one input; the order of its rows changes no bit of the result."""
    curves, layers = source.curves, source.layers
    return analyse(
        to_rows(_ordered(source.outcomes)),
        None if curves is None else to_rows(_ordered(curves.select(GAP_COLUMNS))),
        None if layers is None else to_rows(_ordered(layers)),
        options=options,
    )


def _ordered(table: pa.Table) -> pa.Table:
    """Rows by trial, step and layer, as far as the table has these: sums then round alike."""
    names = [name for name in ("trial_id", "step", "layer") if name in table.column_names]
    return table.sort_by([(name, "ascending") for name in names]) if names else table


def parse_kinds(text: str | None) -> tuple[str, ...]:
    """``lr-interval,batch`` as kinds in their usual order; all for None and all, none for ''."""
    named = {name.strip() for name in ("all" if text is None else text).split(",")} - {""}
    unknown = named - {*KINDS, "all"}
    if unknown:
        raise SpecError(
            f"--kind: got {', '.join(sorted(unknown))}; allowed: {', '.join(KINDS)}, all"
        )
    return KINDS if "all" in named else tuple(kind for kind in KINDS if kind in named)
