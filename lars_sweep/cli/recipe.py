"""``lars-sweep recipe``: what to port of a run to another place, with its uncertainty."""

from pathlib import Path
from typing import Annotated

import typer

from lars_sweep.cli.options import Baseline, Delta, Json, Sigma, Target


def recipe(
    run: Annotated[
        Path, typer.Argument(metavar="RUN|FILE", help="Run directory, or a file of outcomes.")
    ],
    batch: Annotated[int, typer.Option("--batch", min=1, metavar="N", help="Global batch.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="NAME=VALUE",
            help="Rows of one setting, as optimizer=sgd; repeatable.",
        ),
    ] = None,
    pytorch: Annotated[
        bool, typer.Option("--pytorch", help="Print only the lines of PyTorch.")
    ] = False,
    json_: Json = False,
    delta: Delta = None,
    sigma: Sigma = None,
    target: Target = None,
    baseline: Baseline = None,
) -> None:
    """Print a batch's recipe as TOML: LR with its safe interval, warm-up, epochs, risk."""
    from lars_sweep.cli.talk import print_json
    from lars_sweep.errors import SpecError
    from lars_sweep.report.analyses import analyse_inputs
    from lars_sweep.report.recipe import make_recipe

    named = dict(text.partition("=")[::2] for text in only or ())
    if not all(named.values()):
        raise SpecError(f"--only: got {', '.join(only or ())}; allowed: NAME=VALUE")
    ((source, analysis),) = analyse_inputs(
        [run],
        kinds="lr-interval,epochs,best-lr",
        delta=delta,
        sigma=sigma,
        target=target,
        baseline=baseline,
        keep_up=False,
    )
    made = make_recipe(source, analysis, batch, named)
    if json_:
        print_json(made.content)
    else:
        print(made.pytorch() if pytorch else made.toml(), end="")
