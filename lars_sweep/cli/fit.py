"""``lars-sweep fit``: what the outcomes say, on the terminal or as JSON."""

from typing import TYPE_CHECKING

from lars_sweep.cli.options import Baseline, Delta, Inputs, Json, Kinds, Pool, Sigma, Target

if TYPE_CHECKING:
    from lars_sweep.fit.analysis import Analysis
    from lars_sweep.report.fit_records import Value
    from lars_sweep.report.fit_tables import FitTable

# Long tables are printed when their question was asked for alone; files and JSON hold them always.
DETAILS = ("lr-units", "lr-verdicts", "steps-forms", "best-lr-forms", "layer-norms")
HIDDEN = frozenset(
    {
        "delta", "metric", "sigma_source", "sensitivity", "target_source", "answer", "source",
        "lr_peak", "steps", "lrs", "power", "exploratory", "p_diverge_low", "p_diverge_high", "k",
        "parameters", "cells",
    }
)  # fmt: skip
"""Columns that only files and JSON hold."""


_NOTHING = ("", "-", "–")


def fit(
    inputs: Inputs,
    kind: Kinds = None,
    json_: Json = False,
    delta: Delta = None,
    sigma: Sigma = None,
    target: Target = None,
    baseline: Baseline = None,
    pool: Pool = False,
) -> None:
    """Say what outcomes allow to be said: good LRs, epochs, batch, best LR, critical batch, gap.

    Inputs are run directories, .parquet or .csv files with at least the columns model,
    global_batch, epochs, samples and accuracy, or `paper` for the published tables.
    """
    import sys

    from lars_sweep.report.analyses import analyse_inputs
    from lars_sweep.report.exports import fits_json

    analysed = analyse_inputs(
        inputs,
        kinds=kind,
        delta=delta,
        sigma=sigma,
        target=target,
        baseline=baseline,
        pool=pool,
    )
    analyses = {source.label: analysis for source, analysis in analysed}
    if json_:
        sys.stdout.write(fits_json(analyses).decode())
        return
    for source, analysis in analysed:
        about = f" ({source.fixture})" if source.fixture else ""
        print(f"{source.label}: {_counts(analysis)}{about}")
        _print(analysis, details=kind is not None)


def _counts(analysis: "Analysis") -> str:
    from lars_sweep.nouns import count

    total = count(sum(analysis.counts.values()), "trial")
    told = ", ".join(f"{n:,} {status}" for status, n in sorted(analysis.counts.items()))
    return f"{total} ({told})" if told else "no trial has finished"


def _print(analysis: "Analysis", *, details: bool) -> None:
    from lars_sweep.report.fit_tables import fit_tables

    wanted = {"chosen", *analysis.options.kinds}
    for table in fit_tables(analysis):
        if table.kind in wanted and (details or table.name not in DETAILS):
            print()
            _print_table(table, analysis.options.delta)


def _print_table(table: "FitTable", delta: float) -> None:
    from lars_sweep.cli.talk import print_table

    about = f" (within {delta:g} points of the plateau)" if table.name == "lr-interval" else ""
    print(f"{table.title}{about}")
    shown = [
        name
        for name in table.columns
        if name not in HIDDEN and any(_cell(r.get(name)) not in _NOTHING for r in table.records)
    ]
    rows = [[_cell(record.get(name)) or "-" for name in shown] for record in table.records]
    print_table([name.replace("_", " ") for name in shown], rows)


def _cell(value: "Value") -> str:
    """A value in short; an answer with its 95 % interval."""
    from lars_sweep.fit.answers import Answer, Interval
    from lars_sweep.report.wording import answer_cell, interval_words

    if isinstance(value, Answer):
        return answer_cell(value, _number)
    if isinstance(value, Interval):
        return interval_words(value, _number) or "-"
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
