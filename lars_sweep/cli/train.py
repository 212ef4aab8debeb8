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
    compiled: Annotated[
        bool,
        typer.Option("--compile", help="Through torch.compile: a slow start, then often faster."),
    ] = False,
    noise_scale: Annotated[
        int,
        typer.Option(
            "--noise-scale",
            metavar="N",
            min=0,
            help="Measure the gradient noise scale at every evaluation, N times; 100 give an "
            "interval where it is not far above the batch. Each costs a step.",
        ),
    ] = 0,
) -> None:
    """Run one trial alone and print its result as JSON; starts and stops like a worker's.

    Several processes: torchrun --nproc-per-node 2 -m lars_sweep train TRIAL.json
    """
    import logging
    import os
    from dataclasses import asdict

    from lars_sweep.cli.sweeps import use_import_path
    from lars_sweep.cli.talk import print_json
    from lars_sweep.worker.alone import read_trial, result_to_json, train_alone

    # Read when torch loads. Threads that spin at barriers ruin each other where cores are shared:
    # a trial that takes 9 s took 89 s.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.getLogger("lars_sweep").setLevel(logging.INFO)
    use_import_path()
    from lars_sweep.spec.noise import NoisePlan
    from lars_sweep.train import TorchTrainer
    from lars_sweep.worker.noise_scale import noise_scales

    spec = read_trial(trial)
    noise = NoisePlan(measurements=noise_scale) if noise_scale else None
    trainer = TorchTrainer(data_dir=data_dir, threads=threads, compiled=compiled, noise=noise)
    result = train_alone(trainer, spec, checkpoints)
    if result is not None:
        content = result_to_json(result)
        scales = noise_scales(result.noise)
        content["noise_scale"] = {step: asdict(answer) for step, answer in scales.items()}
        print_json(content)
