"""``lars-sweep plan``: what a sweep would do and cost; runs nothing."""

from lars_sweep.cli.options import DataDir, Json, Set, SweepFile


def plan(sweep: SweepFile, set_: Set = None, data_dir: DataDir = None, json_: Json = False) -> None:
    """Show strata, points, trials, steps, images and disk of a sweep, and its weak spots."""
    from dataclasses import asdict
    from itertools import chain

    from lars_sweep.cli.sweeps import plan_of, refuse_over_budget
    from lars_sweep.cli.talk import print_json, print_table, say
    from lars_sweep.data import describe_dataset
    from lars_sweep.spec.protocol import protocol_warnings
    from lars_sweep.study.cost import example_trials, plan_cost
    from lars_sweep.train.footprint import peak_disk_bytes

    made = plan_of(sweep, set_ or (), data_dir)
    trials = example_trials(made)
    cost = plan_cost(made, trials)
    warnings = protocol_warnings(trials, made.spec)
    info = describe_dataset(made.spec.data.name, data_dir)
    disk = peak_disk_bytes(chain.from_iterable(trials.values()), info, workers=1)
    if json_:
        totals = {n: getattr(cost, n) for n in ("points", "trials", "steps", "images")}
        print_json(asdict(cost) | totals | {"peak_disk_bytes": disk, "warnings": warnings})
    else:
        print_table(
            ("stratum", "points", "trials", "steps/trial", "steps", "images"),
            [
                (c.stratum, c.points, c.trials, _span(c.steps_per_trial), c.steps, c.images)
                for c in cost.strata
            ],
        )
        print(
            f"total: {len(cost.strata)} strata, {cost.points:,} points, {cost.trials:,} trials, "
            f"{cost.steps:,} steps, {cost.images:,} images, peak disk {disk / 2**20:,.0f} MiB "
            "(one worker)"
        )
        if cost.device_hours is not None:
            print(f"device-hours: {cost.device_hours:,.2f} at the budget's images_per_s")
    for warning in warnings:
        say(f"warning: {warning}")
    refuse_over_budget(made, cost)


def _span(steps: tuple[int, int]) -> str:
    least, most = steps
    return str(least) if least == most else f"{least}-{most}"
