"""``lars-sweep collect``, ``export`` and ``report``: what a run found."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lars_sweep.cli.options import (
    Baseline,
    Delta,
    Inputs,
    Pool,
    ReportKinds,
    Run,
    Sigma,
    Target,
)

if TYPE_CHECKING:
    from lars_sweep.rundir.layout import RunDir


def collect(
    run: Run,
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    table: Annotated[
        str, typer.Option("--table", help="outcomes, curves, layers or noise.")
    ] = "outcomes",
) -> None:
    """Write one table of a run as a single Parquet file."""
    from functools import partial

    import pyarrow.parquet as pq

    from lars_sweep.cli.talk import say
    from lars_sweep.errors import SpecError
    from lars_sweep.nouns import count
    from lars_sweep.outcomes.store import load_table
    from lars_sweep.outcomes.tables import COLUMNS
    from lars_sweep.rundir.layout import open_run
    from lars_sweep.rundir.publish import publish_file

    name = next((known for known in COLUMNS if known == table), None)
    if name is None:
        raise SpecError(f"--table: got {table!r}; allowed: {', '.join(COLUMNS)}")
    content = load_table(open_run(run), name)
    publish_file(out, partial(pq.write_table, content, compression="zstd"))
    say(f"{count(content.num_rows, 'row')} in {out}")


def export(
    run: Run,
    to_optuna: Annotated[
        str, typer.Option("--to-optuna", metavar="URL", help="Optuna storage to project into.")
    ],
) -> None:
    """Project the run's studies into an Optuna storage (for dashboards); repeatable."""
    from lars_sweep.rundir.layout import open_run
    from lars_sweep.study.project import export_to_optuna

    for study, added in export_to_optuna(open_run(run), to_optuna):
        print(f"{study}\t{added}")


def report(
    inputs: Inputs,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Directory to write.", show_default="RUN/report; report for files"
        ),
    ] = None,
    kind: ReportKinds = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="paper", help="Add a comparison with published tables."),
    ] = None,
    delta: Delta = None,
    sigma: Sigma = None,
    target: Target = None,
    baseline: Baseline = None,
    pool: Pool = False,
) -> None:
    """Write one HTML page with every figure as PNG, SVG, PDF and CSV, and every fit as files."""
    from lars_sweep.cli.talk import say
    from lars_sweep.errors import SpecError
    from lars_sweep.report.workers import Workers

    if against not in (None, "paper"):
        raise SpecError(f"--against: got {against!r}; allowed: paper")
    kinds = [name.strip() for name in (kind or "all").split(",")]
    one_run = inputs[0] / "report" if len(inputs) == 1 and inputs[0].is_dir() else Path("report")
    with Workers() as workers:
        workers.expect(inputs)
        from lars_sweep.fit.analysis import KINDS
        from lars_sweep.report import build_report
        from lars_sweep.report.analyses import analyse_inputs
        from lars_sweep.report.kinds import SECTIONS

        if unknown := sorted({*kinds} - {*SECTIONS, "all"}):
            allowed = ", ".join((*SECTIONS, "all"))
            raise SpecError(f"--kind: got {', '.join(unknown)}; allowed: {allowed}")
        asked = [name for name in kinds if name in (*KINDS, "all")]
        say("reading and fitting")
        analysed = analyse_inputs(
            inputs,
            kinds=",".join(asked),
            delta=delta,
            sigma=sigma,
            target=target,
            baseline=baseline,
            pool=pool,
            workers=workers,
        )
        say("writing the report")
        written = build_report(
            analysed,
            out or one_run,
            kinds=kinds,
            against_paper=against is not None,
            workers=workers,
        )
    print(written.html)


def write_report(run: "RunDir") -> None:
    """Make the report of a run that has just ended and say where it is."""
    from lars_sweep.cli.talk import say
    from lars_sweep.report import report_run

    say("writing the report")
    print(report_run(run, run.report))
