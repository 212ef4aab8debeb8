"""All commands, in the order in which a user meets them."""

import typer

from lars_sweep.cli.data import app as data
from lars_sweep.cli.doctor import doctor
from lars_sweep.cli.fit import fit
from lars_sweep.cli.launch import launch, resume
from lars_sweep.cli.plan import plan
from lars_sweep.cli.recipe import recipe
from lars_sweep.cli.results import collect, export, report
from lars_sweep.cli.status import cancel, status
from lars_sweep.cli.talk import configure_logging
from lars_sweep.cli.train import train
from lars_sweep.cli.trials import gc, logs, prune, why

app = typer.Typer(
    name="lars-sweep",
    help="Find how far the batch can grow: sweeps and scaling laws for large-batch training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # an unexpected error keeps its plain traceback
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from lars_sweep import __version__

        typer.echo(f"lars-sweep {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    configure_logging()


for command in (
    plan, launch, resume, status, why, logs, prune, cancel, gc, collect, export, fit, recipe,
    report, train, doctor,
):  # fmt: skip
    app.command()(command)
app.add_typer(data, name="data", help="Look at, fetch, pack and verify data sets.")
