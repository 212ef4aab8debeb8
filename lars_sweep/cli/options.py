"""Options that several commands share: one meaning, one text."""

from pathlib import Path
from typing import Annotated

import typer

SweepFile = Annotated[
    Path, typer.Argument(metavar="SWEEP", help="Sweep file (TOML), or the name of a shipped one.")
]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory.")]
RunDirOption = Annotated[
    Path | None, typer.Option("--run-dir", help="Run directory.", show_default="runs/NAME")
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the sweep file; recorded."),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", envvar="LARS_SWEEP_DATA", help="Where data sets lie."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]
Profile = Annotated[
    str, typer.Option("--profile", help="Where workers run: a shipped profile or a TOML file.")
]
LastProfile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        help="Where workers run: a shipped profile or a TOML file.",
        show_default="the last launch's",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, help="Workers alive at a time.", show_default="profile"),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show progress, then write the report.")]
Inputs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN|FILE...", help="Run directories, .parquet or .csv files, or `paper`."
    ),
]
Kinds = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="K[,K]",
        help="lr-interval, epochs, batch, best-lr, critical-batch, gap, layers or all.",
        show_default="all",
    ),
]
ReportKinds = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="K[,K]",
        help="Sections: those of `fit`, and curves and outcomes.",
        show_default="all",
    ),
]
Delta = Annotated[
    float | None,
    typer.Option(
        "--delta",
        min=1e-6,
        max=100,
        help="Points below the plateau that are good.",
        show_default="the sweep's",
    ),
]
Sigma = Annotated[
    float | None,
    typer.Option(
        "--sigma",
        min=1e-6,
        max=100,
        help="Standard deviation of one seed, points.",
        show_default="from seeds",
    ),
]
Target = Annotated[
    float | None,
    typer.Option(
        "--target",
        min=0,
        max=100,
        metavar="ACC",
        help="Accuracy to hold, %.",
        show_default="baseline's",
    ),
]
Baseline = Annotated[
    int | None,
    typer.Option(
        "--baseline", min=1, metavar="N", help="Baseline batch.", show_default="the smallest"
    ),
]
Pool = Annotated[
    bool, typer.Option("--pool", help="Fit all inputs together; a trial in two of them is one.")
]
