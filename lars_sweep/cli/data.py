"""``lars-sweep data``: look at, fetch and pack data sets."""

from pathlib import Path
from typing import Annotated

import typer

from lars_sweep.cli.options import DataDir, Json

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A data set.")]


@app.command()
def show(name: Name, data_dir: DataDir = None, json_: Json = False) -> None:
    """Say what a data set holds and which content id it has."""
    from dataclasses import asdict

    from lars_sweep.cli.talk import print_json, print_table
    from lars_sweep.data import describe_dataset

    info = describe_dataset(name, data_dir)
    if json_:
        print_json(info)
    else:
        print_table(("field", "value"), [(k, str(v)) for k, v in asdict(info).items()])


@app.command()
def get(
    name: Name,
    to: Annotated[
        Path | None, typer.Option("--directory", help="Where to put its files [default: a cache].")
    ] = None,
) -> None:
    """Download a data set, checked against known checksums."""
    from rich.console import Console
    from rich.progress import Progress

    from lars_sweep.cli.talk import say
    from lars_sweep.data.download import get_dataset

    with Progress(console=Console(stderr=True)) as bar:
        tasks: dict[str, object] = {}

        def advance(file: str, done: int, total: int | None) -> None:
            if file not in tasks:
                tasks[file] = bar.add_task(file, total=total)
            bar.update(tasks[file], completed=done)  # type: ignore[arg-type]

        directory = get_dataset(name, to, progress=advance)
    say(f"{name} is in {directory}")
