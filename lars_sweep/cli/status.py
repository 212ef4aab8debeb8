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
    from lars_sweep.cli.talk import print_json, print_table
    from lars_sweep.dispatch.status import run_status
    from lars_sweep.rundir.layout import open_run

    if live:
        from lars_sweep.cli.progress import watch

        watch(open_run(run))
        return
    now = run_status(open_run(run))
    if json_:
        print_json(now.to_json())
        return
    print_table(
        ("stratum", "trials", "ok", "diverged", "pruned", "failed", "running", "interrupted",
         "waiting", "best val %"),
        [
            (s.stratum, s.trials, s.ok, s.diverged, s.pruned, s.failed, s.running, s.interrupted,
             s.waiting, s.best_accuracy_val)
            for s in now.strata
        ],
    )  # fmt: skip
    from lars_sweep.cli.progress import line_of

    print(line_of(now))
    print(
        f"workers: {now.workers_alive} alive, {now.workers_lost} lost"
        + ("; stopping" if now.stopping else "")
    )
    for name, counts in (("jobs", now.jobs), ("interrupted", now.interrupted_by)):
        if counts:
            print(f"{name}: {', '.join(f'{count} {what}' for what, count in counts.items())}")
    for note in now.notes:
        print(note)


def cancel(run: Run) -> None:
    """Stop a run's workers; what they hold is checkpointed, `resume` goes on from there."""
    from lars_sweep.cli.talk import plural, say
    from lars_sweep.dispatch.stop import cancel as stop
    from lars_sweep.rundir.layout import open_run

    opened = open_run(run)
    say(f"stopped {plural(stop(opened), 'worker')}; go on with `lars-sweep resume {opened.path}`")
