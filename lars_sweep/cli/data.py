"""``lars-sweep data``: look at, fetch, pack and verify data sets."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

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

    with _bars() as progress:
        info = describe_dataset(name, data_dir, progress=progress)
    if json_:
        print_json(info)
    else:
        print_table(("field", "value"), [(k, str(v)) for k, v in asdict(info).items()])


@app.command()
def get(
    name: Name,
    to: Annotated[
        Path | None,
        typer.Option("--directory", help="Where to put its files.", show_default="a cache"),
    ] = None,
) -> None:
    """Download a data set, checked against known checksums; repeating it is harmless."""
    from lars_sweep.cli.talk import say
    from lars_sweep.data.download import get_dataset

    with _bars() as progress:
        directory = get_dataset(name, to, progress=progress)
    say(f"{name} is in {directory}")


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(metavar="TREE", help="Folder with train/ and val/.")],
    out: Annotated[Path, typer.Argument(metavar="PACK", help="Folder to write.")],
    mode: Annotated[
        Literal["bytes", "resized"], typer.Option("--mode", help="What a pack keeps of a JPEG.")
    ] = "bytes",
    side: Annotated[int | None, typer.Option("--side", help="resized: side in pixels.")] = None,
    quality: Annotated[int | None, typer.Option("--quality", help="resized: JPEG quality.")] = None,
) -> None:
    """Pack an ImageNet-like tree into a few shards; goes on where it was interrupted.

    bytes keeps every JPEG bit for bit: the same data set. resized is another data set.
    """
    from lars_sweep.cli.talk import say
    from lars_sweep.data.pack import pack_dataset

    with _bars() as progress:
        info = pack_dataset(source, out, mode, side=side, quality=quality, progress=progress)
    say(f"{out}: {info.train_samples:,} + {info.test_samples:,} images, id {info.content_id}")


@app.command()
def verify(
    pack: Annotated[Path, typer.Argument(metavar="PACK", help="Folder that data pack wrote.")],
) -> None:
    """Read all of a pack and compare every image with its sha256."""
    from lars_sweep.cli.talk import say
    from lars_sweep.data.pack import verify_pack

    with _bars() as progress:
        images = verify_pack(pack, progress=progress)
    say(f"{pack}: {images:,} images are what was packed")


@contextmanager
def _bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """A progress bar per thing that is done, on stderr."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    tasks: dict[str, TaskID] = {}
    with Progress(console=Console(stderr=True)) as bars:

        def progress(what: str, done: int, total: int | None) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield progress
