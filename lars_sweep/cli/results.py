"""``lars-sweep collect``, ``export`` and ``report``: what a run found."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lars_sweep.cli.options import Run

if TYPE_CHECKING:
    from lars_sweep.rundir.layout import RunDir


def collect(
    run: Run,
    out: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    table: Annotated[str, typer.Option("--table", help="outcomes, curves or layers.")] = "outcomes",
) -> None:
    """Write one table of a run as a single Parquet file."""
    from functools import partial

    import pyarrow.parquet as pq

    from lars_sweep.cli.talk import plural, say
    from lars_sweep.errors import SpecError
    from lars_sweep.outcomes.store import load_table
    from lars_sweep.outcomes.tables import COLUMNS
    from lars_sweep.rundir.layout import open_run
    from lars_sweep.rundir.publish import publish_file

    name = next((known for known in COLUMNS if known == table), None)
    if name is None:
        raise SpecError(f"--table: got {table!r}; allowed: {', '.join(COLUMNS)}")
    content = load_table(open_run(run), name)
    publish_file(out, partial(pq.write_table, content, compression="zstd"))
    say(f"{plural(content.num_rows, 'row')} in {out}")


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
    run: Run,
    out: Annotated[
        Path | None, typer.Option("--out", help="Directory to write [default: RUN/report].")
    ] = None,
) -> None:
    """Write the report of a run: one HTML page, and every figure as PNG, SVG and CSV."""
    from lars_sweep.rundir.layout import open_run

    write_report(open_run(run), out)


def write_report(run: "RunDir", out: Path | None = None) -> None:
    """Make the report and say where it is."""
    from lars_sweep.cli.talk import say
    from lars_sweep.report import report_run

    say("writing the report")
    print(report_run(run, out or run.report))
