"""``lars-sweep train``: one trial, here and now; also under torchrun and srun."""

from pathlib import Path
from typing import Annotated

import typer

from lars_sweep.cli.options import DataDir


def train(
    trial: Annotated[
        Path, typer.Argument(metavar="TRIAL.json", help="A trial, from `plan --trials DIR`.")
    ],
    data_dir: DataDir = None,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", help="Keep checkpoints here, go on from them.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads of each rank.")
    ] = None,
) -> None:
    """Run one trial alone and print its result as JSON; starts and stops like a worker's.

    Several processes: torchrun --nproc-per-node 2 -m lars_sweep train TRIAL.json
    """
    import logging
    import os

    from lars_sweep.cli.sweeps import use_import_path
    from lars_sweep.cli.talk import print_json
    from lars_sweep.worker.alone import read_trial, result_to_json, train_alone

    # Read when torch loads. Threads that spin at barriers ruin each other where cores are shared:
    # a trial that takes 9 s took 89 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.getLogger("lars_sweep").setLevel(logging.INFO)
    use_import_path()
    from lars_sweep.train import TorchTrainer

    spec = read_trial(trial)
    result = train_alone(TorchTrainer(data_dir=data_dir, threads=threads), spec, checkpoints)
    if result is not None:
        print_json(result_to_json(result))
