"""``lars-sweep status`` and ``cancel``."""

from typing import Annotated

import typer

from lars_sweep.cli.options import Json, Run


def status(
    run: Run,
    json_: Json = False,
    live: Annotated[bool, typer.Option("--watch", help="Go on until all is done.")] = False,
) -> None:
    """Show how a run stands: strata, workers, throughput, device-hours, ETA."""
    from lars_sweep.cli.progress import HEADS, details_of, line_of, states_of, watch
    from lars_sweep.cli.talk import print_json, print_table
    from lars_sweep.dispatch.status import run_status
    from lars_sweep.rundir.layout import open_run

    if live:
        watch(open_run(run))
        return
    now = run_status(open_run(run))
    if json_:
        print_json(now.to_json())
        return
    states = states_of(now)
    print_table(
        ("stratum", "trials", "ok", *(HEADS[state] for state in states), "best val %"),
        [
            (line.stratum, line.trials, line.ok, *(getattr(line, state) for state in states),
             line.best_accuracy_val)
            for line in now.strata
        ],
    )  # fmt: skip
    print("\n".join([line_of(now), *details_of(now)]))


def cancel(run: Run) -> None:
    """Stop a run's workers; what they hold is checkpointed, `resume` goes on from there."""
    from lars_sweep.cli.talk import plural, say
    from lars_sweep.dispatch.stop import cancel as stop
    from lars_sweep.dispatch.stop import is_finished
    from lars_sweep.rundir.layout import open_run

    opened = open_run(run)
    stopped = stop(opened)
    done = f"stopped {plural(stopped, 'worker')}" if stopped else "no worker was at it"
    if is_finished(opened):
        say(f"{done}; all trials are finished: `lars-sweep report {opened.path}`")
    else:
        say(f"{done}; go on with `lars-sweep resume {opened.path}`")
