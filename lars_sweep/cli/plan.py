"""``lars-sweep plan``: what a sweep would do and cost; runs nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lars_sweep.cli.options import DataDir, Json, Set, SweepFile

if TYPE_CHECKING:
    from lars_sweep.study.cost import Cost

TOTALS = ("points", "trials", "steps", "images", "noise_images")


def plan(
    sweep: SweepFile,
    set_: Set = None,
    data_dir: DataDir = None,
    json_: Json = False,
    trials: Annotated[
        Path | None, typer.Option("--trials", help="Also write each trial as a file there.")
    ] = None,
    power: Annotated[
        bool, typer.Option("--power", help="Also simulate what the sweep could say.")
    ] = False,
    sigma: Annotated[
        float | None,
        typer.Option("--sigma", help="With --power: accuracy points between seeds (1 SD)."),
    ] = None,
) -> None:
    """Show strata, points, trials, steps, images and disk of a sweep, and its weak spots."""
    from dataclasses import asdict
    from itertools import chain

    from lars_sweep.cli.power import print_power, sweep_power
    from lars_sweep.cli.sweeps import plan_of, refuse_over_budget
    from lars_sweep.cli.talk import print_json, say
    from lars_sweep.data import describe_dataset
    from lars_sweep.errors import SpecError
    from lars_sweep.fit.answers import to_jsonable
    from lars_sweep.spec.protocol import protocol_warnings
    from lars_sweep.study.cost import example_trials, plan_cost
    from lars_sweep.train.check import check_networks
    from lars_sweep.train.footprint import peak_disk_bytes
    from lars_sweep.worker.alone import write_trial

    if sigma is not None and (not power or sigma <= 0):
        raise SpecError(
            f"--sigma: got {sigma:g}; allowed: a positive number, together with --power"
        )
    made = plan_of(sweep, set_ or (), data_dir)
    by_stratum = example_trials(made)
    everything = list(chain.from_iterable(by_stratum.values()))
    cost = plan_cost(made, by_stratum)
    warnings = protocol_warnings(by_stratum, made.spec)
    info = describe_dataset(made.spec.data.name, data_dir)
    check_networks(everything, info)
    disk = peak_disk_bytes(everything, info, workers=1)
    prospects = sweep_power(made, everything, sigma) if power else ()
    if json_:
        totals = {n: getattr(cost, n) for n in TOTALS}
        found = {"peak_disk_bytes": disk, "warnings": warnings}
        if power:
            found["power"] = to_jsonable(prospects)
        print_json(asdict(cost) | totals | found)
    else:
        _print(cost, disk)
        print_power(prospects)
    for warning in warnings:
        say(f"warning: {warning}")
    if trials is not None:
        for trial in everything:
            write_trial(trials, trial)
        say(f"{len(everything)} trials in {trials}: run one with `lars-sweep train FILE`")
    refuse_over_budget(made, cost)


def _print(cost: "Cost", disk: int) -> None:
    from lars_sweep.cli.talk import print_table
    from lars_sweep.nouns import count

    print_table(
        ("stratum", "points", "trials", "steps/trial", "steps", "images"),
        [
            (c.stratum, c.points, c.trials, _span(c.steps_per_trial), c.steps, c.images)
            for c in cost.strata
        ],
    )
    print(
        f"total: {count(len(cost.strata), 'stratum')}, {count(cost.points, 'point')}, "
        f"{count(cost.trials, 'trial')}, {count(cost.steps, 'step')}, "
        f"{count(cost.images, 'image')}, peak disk {disk / 2**20:,.0f} MiB "
        "(one worker)"
    )
    if cost.noise_images:
        print(
            f"noise scale: {cost.noise_images:,} images more, "
            f"{100 * cost.noise_images / cost.images:.3g} % of those trained on"
        )
    if cost.device_hours is not None:
        print(f"device-hours: {cost.device_hours:,.2f} at the budget's images_per_s")


def _span(steps: tuple[int, int]) -> str:
    least, most = steps
    return str(least) if least == most else f"{least}-{most}"
