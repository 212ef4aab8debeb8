"""``lars-sweep doctor``: is everything here that a sweep needs?"""

from pathlib import Path
from typing import Annotated

import typer

from lars_sweep.cli.options import DataDir, Json


def doctor(
    directory: Annotated[
        Path, typer.Option("--run-dir", help="Where runs would be written.")
    ] = Path("runs"),
    profile: Annotated[
        str | None, typer.Option("--profile", help="Also a cluster, from a job on two nodes.")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="A data set that must be there, in jobs too.")
    ] = None,
    data_dir: DataDir = None,
    json_: Json = False,
) -> None:
    """Check Python, libraries, the file system under the runs, data sets, and a cluster."""
    from lars_sweep.cli.talk import print_json, print_table, say
    from lars_sweep.dispatch.doctor import check_all

    checks = check_all(directory, data_dir, dataset)
    if profile is not None:
        from lars_sweep.cluster.loading import load_profile
        from lars_sweep.dispatch.cluster_doctor import PROBE_S, check_cluster

        chosen = load_profile(profile)
        if chosen.executor == "slurm":
            say(f"waiting for a job to look at its nodes, at most {PROBE_S / 60:.0f} minutes")
            checks += check_cluster(chosen, directory, data_dir, dataset or "digits")
    if json_:
        print_json([check.to_json() for check in checks])
    else:
        print_table(
            ("check", "verdict", "found", "advice"),
            [(c.name, "ok" if c.ok else "PROBLEM", c.found, c.advice) for c in checks],
        )
    if any(not check.ok and check.needed for check in checks):
        raise typer.Exit(1)
