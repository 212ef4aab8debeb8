"""``lars-sweep status`` and ``cancel``."""

from typing import TYPE_CHECKING, Annotated

import typer

from lars_sweep.cli.options import Json, Run

if TYPE_CHECKING:
    from lars_sweep.dispatch.status import RunStatus
    from lars_sweep.rundir.layout import RunDir

PATIENCE_S = 2.0
"""How long a person looks at nothing."""


def status(
    run: Run,
    json_: Json = False,
    live: Annotated[bool, typer.Option("--watch", help="Go on until all is done.")] = False,
) -> None:
    """Show how a run stands: strata, workers, throughput, device-hours, ETA."""
    from lars_sweep.rundir.layout import open_run

    opened = open_run(run)
    if live:
        from lars_sweep.cli.progress import watch

        watch(opened)
    elif json_:
        from lars_sweep.cli.talk import print_json
        from lars_sweep.dispatch.status import run_status

        print_json(run_status(opened).to_json())
    else:
        _show(opened)


def _show(run: "RunDir") -> None:
    """Print it once; where SLURM is slow, before its answer too."""
    from concurrent.futures import ThreadPoolExecutor
    from dataclasses import replace

    from lars_sweep.dispatch.status import run_status
    from lars_sweep.worker.look import look, read_view

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(look, run)
        try:
            view = asked.result(PATIENCE_S)
        except TimeoutError:
            silent = f"SLURM has not answered for {PATIENCE_S:.0f} s; waiting for it"
            _print(run_status(run, replace(read_view(run), trouble=silent)))
            view = asked.result()
            if view.trouble:  # a warning has told it
                return
    _print(run_status(run, view))


def _print(now: "RunStatus") -> None:
    from lars_sweep.cli.progress import HEADS, details_of, line_of, states_of
    from lars_sweep.cli.talk import print_table

    states = states_of(now)
    print_table(
        ("stratum", "trials", "ok", *(HEADS[state] for state in states), "best val %"),
        [
            (line.stratum, line.trials, line.ok, *(getattr(line, state) for state in states),
             line.best_accuracy_val)
            for line in now.strata
        ],
    )  # fmt: skip
    print("\n".join([line_of(now), *details_of(now)]), flush=True)


def cancel(run: Run) -> None:
    """Stop a run's workers; what they hold is checkpointed, `resume` goes on from there."""
    from lars_sweep.cli.talk import say
    from lars_sweep.dispatch.stop import cancel as stop
    from lars_sweep.dispatch.stop import is_finished
    from lars_sweep.nouns import count
    from lars_sweep.rundir.layout import open_run

    opened = open_run(run)
    stopped = stop(opened)
    done = f"stopped {count(stopped, 'worker')}" if stopped else "no worker was at it"
    if is_finished(opened):
        say(f"{done}; all trials are finished: `lars-sweep report {opened.path}`")
    else:
        say(f"{done}; go on with `lars-sweep resume {opened.path}`")
