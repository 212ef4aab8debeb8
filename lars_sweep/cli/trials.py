"""``lars-sweep prune``, ``why``, ``logs`` and ``gc``: single trials, and what they left."""

from typing import Annotated

import typer

from lars_sweep.cli.options import DryRun, Json, Run

Trial = Annotated[str, typer.Argument(metavar="TRIAL", help="Trial id, or how it begins.")]


def prune(
    run: Run,
    where: Annotated[
        str | None, typer.Option("--where", metavar="EXPR", help="Condition over outcome columns.")
    ] = None,
    trial: Annotated[
        list[str] | None, typer.Option("--trial", metavar="ID", help="A trial id; repeatable.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Stop trials that lead nowhere: running ones at their next step, waiting ones never start.

    As in: prune RUN --where "global_batch==8192 and epochs_done>10 and accuracy_val<20"
    """
    from lars_sweep.cli.talk import print_table, say
    from lars_sweep.dispatch.prune import prune as ask
    from lars_sweep.nouns import count
    from lars_sweep.rundir.layout import open_run

    pruned = ask(open_run(run), where=where, trials=trial or (), dry_run=dry_run)
    print_table(
        ("trial", "stratum", "epochs", "val %"),
        [(p.trial_id, p.stratum, p.epochs_done, p.accuracy_val) for p in pruned],
    )
    say(f"{count(len(pruned), 'trial')} {'would be' if dry_run else 'will be'} pruned")


def why(run: Run, trial: Trial, json_: Json = False) -> None:
    """Say how a trial stands, what ended its attempts, the last log lines, and what to do."""
    from lars_sweep.cli.talk import print_json
    from lars_sweep.dispatch.why import last_lines
    from lars_sweep.dispatch.why import why as story_of
    from lars_sweep.rundir.layout import open_run

    story = story_of(open_run(run), trial)
    if json_:
        print_json(story.to_json())
        return
    print(f"{story.trial_id}: {story.state}")
    for line in story.lines:
        print(f"  {line}")
    if story.log is not None:
        print(f"  {story.log}:")
        for line in last_lines(story.log, story.trial_id):
            print(f"  | {line}")
    if story.advice:
        print(f"what to do: {story.advice}")


def logs(
    run: Run,
    trial: Trial,
    follow: Annotated[bool, typer.Option("--follow", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Print the log of the job that has, or had, a trial."""
    from lars_sweep.dispatch.follow import job_log, tail
    from lars_sweep.rundir.layout import open_run

    path = job_log(open_run(run), trial)
    for text in tail(path) if follow else [path.read_text(errors="replace")]:
        print(text, end="", flush=True)


def gc(
    run: Run,
    days: Annotated[
        float, typer.Option("--days", min=0, help="Keep job logs of the last days.")
    ] = 30.0,
    dry_run: DryRun = False,
) -> None:
    """Remove checkpoints of finished trials and old logs; outcomes stay."""
    from lars_sweep.cli.talk import say
    from lars_sweep.dispatch.gc import collect_garbage
    from lars_sweep.nouns import count
    from lars_sweep.rundir.layout import open_run

    gone = collect_garbage(open_run(run), older_than_s=days * 86_400, dry_run=dry_run)
    verb = "can be removed" if dry_run else "removed"
    say(f"{count(gone.files, 'file')}, {gone.size_bytes / 2**20:.1f} MiB, {verb}")
