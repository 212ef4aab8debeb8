"""``lars-sweep launch`` and ``resume``: start workers on a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lars_sweep.cli.options import (
    DataDir,
    DryRun,
    LastProfile,
    Profile,
    Run,
    RunDirOption,
    Set,
    SweepFile,
    Wait,
    Workers,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lars_sweep.cluster.profile import Profile as Site
    from lars_sweep.rundir.launches import Launch
    from lars_sweep.rundir.layout import RunDir
    from lars_sweep.spec.trial import TrialSpec
    from lars_sweep.study.cost import Cost
    from lars_sweep.study.plan import Plan


def launch(
    sweep: SweepFile,
    run_dir: RunDirOption = None,
    set_: Set = None,
    profile: Profile = "local",
    workers: Workers = None,
    data_dir: DataDir = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="Only train two tiny steps of each setting, here.")
    ] = False,
    simulate: Annotated[
        bool,
        typer.Option("--simulate", help="Train nothing: workers read a stated surface instead."),
    ] = False,
    trainer: Annotated[str, typer.Option(hidden=True)] = "torch",
) -> None:
    """Plan a sweep, make its run directory, start workers, and return.

    Repeating the command is safe: it joins the run and starts only the workers that are missing.
    """
    from lars_sweep.cli.sweeps import (
        image_size_of,
        plan_of,
        refuse_broken_models,
        refuse_over_budget,
        smoke_trials_of,
    )
    from lars_sweep.cluster.loading import load_profile
    from lars_sweep.errors import SpecError
    from lars_sweep.study.cost import example_trials, plan_cost

    if smoke and simulate:
        raise SpecError("--smoke trains, --simulate does not: give one of them")
    if smoke:
        _smoke(smoke_trials_of(sweep, set_ or (), data_dir), data_dir)
        return
    chosen = load_profile(profile)  # its problems come before anything is made
    made = plan_of(sweep, set_ or (), data_dir, simulated=simulate)
    cost = plan_cost(made, example_trials(made))
    refuse_over_budget(made, cost)
    if not simulate:
        refuse_broken_models(made, chosen)
    label = f"SIMULATED-{made.spec.name}" if simulate else made.spec.name
    path = run_dir or Path("runs") / label
    if dry_run:
        size = image_size_of(made, data_dir, simulated=simulate)
        _preview(path, chosen, workers, example_trials(made), size)
        return
    run = _create(path, label, made, cost, "analytic" if simulate else trainer)
    _start(run, profile, workers, data_dir, chosen)
    if wait:
        _wait_and_report(run)


def resume(
    run: Run,
    profile: LastProfile = None,
    workers: Workers = None,
    data_dir: DataDir = None,
    wait: Wait = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Also try failed trials again.")
    ] = False,
    cause: Annotated[
        str | None,
        typer.Option(
            "--cause", metavar="TEXT", help="With --retry-failed: only those whose cause has TEXT."
        ),
    ] = None,
) -> None:
    """Finish what is missing in a run: nothing that has an outcome runs again."""
    from lars_sweep.cli.talk import say
    from lars_sweep.errors import SpecError
    from lars_sweep.nouns import count
    from lars_sweep.rundir.launches import last_launch
    from lars_sweep.rundir.layout import open_run

    if cause is not None and not retry_failed:
        raise SpecError("--cause: allowed: only together with --retry-failed")
    opened = open_run(run)
    if retry_failed:
        from lars_sweep.dispatch.again import retry_failed as retry

        say(f"{count(retry(opened, cause=cause), 'failed trial')} to be tried again")
    last = last_launch(opened)
    _start(opened, profile or (last.profile if last else "local"), workers, data_dir)
    if wait:
        _wait_and_report(opened)


def _create(path: Path, label: str, made: "Plan", cost: "Cost", trainer: str) -> "RunDir":
    """The run directory, with the plan and the user's own modules in it."""
    from lars_sweep.cli.talk import say
    from lars_sweep.dispatch.notes import SIMULATED
    from lars_sweep.nouns import count
    from lars_sweep.rundir.layout import create_run
    from lars_sweep.study.plan import plan_content
    from lars_sweep.worker.code import snapshot

    run = create_run(path, plan_content(made, trainer=trainer) | {"sweep": label})
    snapshot(run, made.model_sources)
    if trainer == "analytic":
        say(SIMULATED)
    noise = f" and {cost.noise_images:,} for the noise scale" if cost.noise_images else ""
    say(
        f"run {run.path}: {count(cost.trials, 'trial')} in "
        f"{count(len(cost.strata), 'stratum')}, {cost.images:,} images{noise}"
    )
    return run


def _preview(
    path: Path,
    chosen: "Site",
    workers: int | None,
    trials: "dict[str, list[TrialSpec]]",
    image_size: int,
) -> None:
    from lars_sweep.cli.talk import print_table, say
    from lars_sweep.cluster.layout import gpus_here, worker_limit
    from lars_sweep.dispatch.preview import layouts, sbatch_text
    from lars_sweep.nouns import count

    print_table(
        ("stratum", "batch", "nodes", "ranks/node", "micro", "accum", "idle"),
        [
            (x.stratum, x.global_batch, x.nodes, x.ranks_per_node, x.micro_batch, x.accumulation,
             x.idle_ranks)
            for x in layouts(chosen, trials, image_size=image_size)
        ],
    )  # fmt: skip
    workers = min(sum(map(len, trials.values())), workers or worker_limit(chosen))
    if chosen.executor == "slurm":
        print(sbatch_text(path.resolve(), chosen, workers))
    place = _gpus(gpus_here(chosen)[:workers])
    say(f"nothing was submitted; without --dry-run it would be {count(workers, 'worker')}{place}")


def _smoke(trials: "Iterable[TrialSpec]", data_dir: Path | None) -> None:
    from lars_sweep.cli.talk import print_table
    from lars_sweep.train import TorchTrainer
    from lars_sweep.worker.smoke import BN_BATCH, smoke

    trainer = TorchTrainer(data_dir=data_dir, micro_batch=BN_BATCH)
    done = list(smoke(trainer, trials))
    print_table(
        ("model", "optimizer", "augmentation", "status", "steps", "train loss", "seconds"),
        [
            (s.trial.model, s.trial.optimizer, s.trial.augmentation, s.result.status,
             s.result.steps_done, s.result.evaluations[-1].train_loss, s.wall_s)
            for s in done
        ],
    )  # fmt: skip


def _start(
    run: "RunDir",
    profile: str,
    workers: int | None,
    data_dir: Path | None,
    chosen: "Site | None" = None,
) -> None:
    """Bring the run's workers up to their number; ``chosen`` is what the profile holds, if read."""
    from lars_sweep.cli.sweeps import import_path
    from lars_sweep.cli.talk import say
    from lars_sweep.cluster.layout import worker_limit
    from lars_sweep.cluster.loading import load_profile, reference
    from lars_sweep.dispatch.status import run_status
    from lars_sweep.dispatch.submit import submit_workers
    from lars_sweep.nouns import count
    from lars_sweep.outcomes.seal import seal_all, set_aside_unreadable
    from lars_sweep.rundir.launches import last_launch
    from lars_sweep.rundir.requests import withdraw_stop

    for moved in set_aside_unreadable(run):
        say(f"set aside: {moved}")
    seal_all(run)
    withdraw_stop(run)
    status = run_status(run)
    left = status.trials - status.finished
    if left == 0:
        say(f"all {status.trials:,} trials are finished: `lars-sweep report {run.path}`")
        return
    chosen = chosen or load_profile(profile)
    launched = submit_workers(
        run,
        chosen,
        wanted=min(left, workers or worker_limit(chosen)),
        named=reference(profile),
        data_dir=_data_dir(data_dir, last_launch(run)),
        import_path=import_path(),
    )
    if launched is None:
        say("enough workers are at it already")
    else:
        place = _gpus(launched.gpus)
        say(f"started {count(launched.workers, 'worker')} ({chosen.name}){place}")
    say(f"watch it: `lars-sweep status {run.path}`")


def _gpus(gpus: "Sequence[str]") -> str:
    """As in `` on GPUs 0, 1``; empty for none."""
    named = list(dict.fromkeys(gpus))
    return f" on GPU{'s' if len(named) > 1 else ''} {', '.join(named)}" if named else ""


def _data_dir(given: Path | None, last: "Launch | None") -> Path | None:
    """Where workers look for data: where the user says, else where they looked before."""
    if given is not None:
        return given.resolve()
    return Path(last.data_dir) if last is not None and last.data_dir is not None else None


def _wait_and_report(run: "RunDir") -> None:
    from lars_sweep.cli.progress import watch
    from lars_sweep.cli.results import write_report

    if watch(run):
        write_report(run)
