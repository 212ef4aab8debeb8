"""The torch implementation of the Trainer protocol."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lars_sweep.errors import LarsSweepError, TrainError
from lars_sweep.spec.micro_batch import first_micro_batch
from lars_sweep.spec.noise import NoisePlan
from lars_sweep.spec.trainer import Control, Hardware, Signal, TrialResult
from lars_sweep.spec.trial import TrialSpec, trial_from_json, trial_to_json
from lars_sweep.train.fitting import FittingSamples
from lars_sweep.train.numerics import describe
from lars_sweep.train.parts import LoadedDataset
from lars_sweep.train.run import Follower, RunOptions, TrialRun
from lars_sweep.train.world import World

_log = logging.getLogger(__name__)


def _go_on() -> Signal:
    return Signal.GO_ON


class TorchTrainer:
    """Trains trials one after another, alone or with the other ranks of its world.

    In a world of several processes every rank makes a trainer. Rank 0 calls `train` for each trial
    and `close` at the end; the others call `follow`, which returns then, and `close`.

    Args:
        data_dir: where data sets lie that are not found without it.
        device: ``cpu``, ``cuda`` or ``cuda:N``; None: the CUDA device of this rank if there is
            one, else the CPU.
        threads: CPU threads of this rank; None: torch's choice.
        micro_batch: most samples of one forward pass, rounded down to whole atoms (at least one);
            halved when the device runs out of memory, which is remembered. None: 8,192 on CUDA; on
            the CPU 1,024, or fewer for images above 32 × 32.
        checkpoint_every_s: seconds between checkpoints.
        compiled: train through ``torch.compile``: slower to start, often faster then. Rounds
            otherwise, so it is part of the machine's shape. Needs a C++ compiler.
        noise: where the gradient noise is measured (PROTOCOL.md 19); None: nowhere.
        dtype: of weights and images; float64 is for verification and slow.

    Raises:
        TrainError: there is no such device, no compiler where one is needed, or the other ranks
            cannot be reached.
    """

    def __init__(
        self,
        *,
        data_dir: Path | None = None,
        device: str | None = None,
        threads: int | None = None,
        micro_batch: int | None = None,
        checkpoint_every_s: float = 30.0,
        compiled: bool = False,
        noise: NoisePlan | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if compiled and not _has_compiler():
            raise TrainError(
                "compiled training needs a C++ compiler, and there is no g++, clang++ or $CXX "
                "here; install one, or train without"
            )
        if threads is not None:
            torch.set_num_threads(threads)
        cuda = device.startswith("cuda") if device else torch.cuda.is_available()
        self._world = World.join(cuda=cuda)
        self._device = _device(device, self._world)
        self._data_dir = data_dir
        self._datasets: dict[str, LoadedDataset] = {}
        self._fitting = FittingSamples(self._device)
        self._micro_batch = micro_batch
        self._checkpoint_every_s = checkpoint_every_s
        self._compiled = compiled
        self._noise = noise
        self._dtype = dtype

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which calls `train`; the others call `follow`."""
        return self._world.leads

    @property
    def hardware(self) -> Hardware:
        """Device, their number in this world, and versions."""
        name, size = describe(self._device), self._world.size
        return Hardware(
            device=name if size == 1 else f"{size} × {name}",
            devices=size,
            versions=f"torch {torch.__version__}, numpy {np.__version__}",
        )

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        """Run the trial, from its newest good checkpoint if there is one, to its end or a signal.

        Raises:
            TrainError: the trial cannot run here as asked, or a rank failed.
            DataError: its data are missing or not those of ``trial.data_id``.
        """
        self._world.broadcast(json.dumps(trial_to_json(trial)).encode())
        return self._run(trial, control)

    def follow(self, poll: Callable[[], Signal] = _go_on) -> None:
        """On ranks above 0: take part in every trial of rank 0 until it dismisses them.

        Args:
            poll: what this rank's own surroundings ask for, as `Control.at_step` says for rank 0;
                any rank's signal counts for all.
        """
        while content := self._world.broadcast(None):
            try:
                self._run(trial_from_json(json.loads(content)), Follower(poll))
            except LarsSweepError:
                # Rank 0 raises too and records it; the next trial may well run.
                _log.exception("rank %d: the trial ended", self._world.rank)

    def dismiss(self) -> None:
        """On rank 0: let the followers return from `follow`."""
        self._world.broadcast(b"")

    def close(self) -> None:
        """Dismiss the followers and leave the world; every rank calls it once, at the end."""
        if self._world.leads:
            self.dismiss()
        self._world.leave()

    def _run(self, trial: TrialSpec, control: Control) -> TrialResult:
        run, options = self._begin(trial, control)
        planned = options.most_samples
        try:
            return run.to_end()
        finally:
            run.close()
            if options.most_samples < planned:
                size = self._loaded(trial.dataset).dataset.info.image_size
                self._fitting.remember(trial, size, options.most_samples)

    def _begin(self, trial: TrialSpec, control: Control) -> tuple[TrialRun, RunOptions]:
        """Set the trial up on all ranks or on none: one that failed would leave others waiting."""
        begun: tuple[TrialRun, RunOptions] | None = None
        failure: LarsSweepError | None = None
        try:
            loaded = self._loaded(trial.dataset)
            options = self._options(trial, loaded.dataset.info.image_size)
            begun = TrialRun(trial, control, self._world, loaded, options), options
        except LarsSweepError as error:
            failure = error
        failed = self._world.agree(failure is not None)
        if begun is None or failed:
            raise failure or TrainError(
                f"trial {trial.trial_id} cannot begin: another rank failed; its log says why"
            )
        return begun

    def _loaded(self, dataset: str) -> LoadedDataset:
        if dataset not in self._datasets:
            loaded = LoadedDataset.load(dataset, self._data_dir, self._device)
            self._datasets[dataset] = loaded
        return self._datasets[dataset]

    def _options(self, trial: TrialSpec, image_size: int) -> RunOptions:
        samples = self._micro_batch
        if samples is None:
            cuda = self._device.type == "cuda"
            samples = first_micro_batch(cuda=cuda, image_size=image_size)
        return RunOptions(
            device=self._device,
            dtype=self._dtype,
            checkpoint_every_s=self._checkpoint_every_s,
            most_samples=self._fitting.most(trial, image_size, samples),
            compiled=self._compiled,
            noise=self._noise,
        )


def _has_compiler() -> bool:
    names = (os.environ.get("CXX"), "g++", "clang++")
    return any(name is not None and shutil.which(name) for name in names)


def _device(name: str | None, world: World) -> torch.device:
    if name is None or name == "cuda":
        if torch.cuda.is_available():
            device = torch.device("cuda", world.local_rank % torch.cuda.device_count())
            torch.cuda.set_device(device)
            return device
        if name is None:
            return torch.device("cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise TrainError(
            f"device {name}: torch {torch.__version__} finds no CUDA device here; "
            "use --device cpu, or run where a GPU and a CUDA build of torch are"
        )
    return device
