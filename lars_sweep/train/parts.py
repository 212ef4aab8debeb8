"""The data of one trial: which samples train it, which measure it, and when."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lars_sweep.data import Dataset, epoch_order, load_dataset, validation_split
from lars_sweep.errors import DataError
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train.evaluate import SampleSet
from lars_sweep.train.feed import DeviceSource

_TRAIN_SUBSET = 2048
_CALIBRATION_SUBSET = 4096


@dataclass(frozen=True, slots=True, eq=False)
class LoadedDataset:
    """A data set with its two parts within reach of the device; serves many trials."""

    dataset: Dataset
    train: DeviceSource
    test: DeviceSource

    @staticmethod
    def load(name: str, directory: Path | None, device: torch.device) -> LoadedDataset:
        """Read it; `DataError` says what is missing."""
        dataset = load_dataset(name, directory)
        return LoadedDataset(
            dataset, DeviceSource(dataset.train, device), DeviceSource(dataset.test, device)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """The sample sets of one trial."""

    source: DeviceSource
    training: NDArray[np.int64]
    """(N,) positions of the training part in its source."""
    train_subset: SampleSet
    """Fixed part of the training samples for the eval-mode train loss."""
    calibration: SampleSet
    """Fixed part of the training samples for BatchNorm statistics: whole atoms."""
    val: SampleSet | None
    """None in the paper protocol."""
    test: SampleSet

    @staticmethod
    def of(trial: TrialSpec, loaded: LoadedDataset) -> Parts:
        """Split as the trial's protocol says.

        Raises:
            DataError: the data are not those that the trial was planned on.
        """
        info, labels = loaded.dataset.info, loaded.dataset.train.labels
        if trial.data_id != info.content_id:
            raise DataError(
                f"data set {trial.dataset}: the trial was planned on content {trial.data_id}, "
                f"found {info.content_id}; restore the data, or plan a new sweep on these"
            )
        share = 0.0 if trial.protocol == "paper" else trial.val_share
        training, validation = validation_split(labels, share)
        if len(training) != trial.samples:
            raise DataError(
                f"data set {trial.dataset}: the trial was planned on {trial.samples} training "
                f"samples, found {len(training)}; plan the sweep again"
            )
        # The order of epoch 0 under seed 0: mixed classes, and the same for every trial.
        mixed = training[epoch_order(0, 0, len(training))]
        atoms = min(_CALIBRATION_SUBSET, len(training)) // trial.bn_batch
        return Parts(
            source=loaded.train,
            training=training,
            train_subset=SampleSet(loaded.train, np.sort(mixed[:_TRAIN_SUBSET])),
            calibration=SampleSet(loaded.train, mixed[: max(1, atoms) * trial.bn_batch]),
            val=SampleSet(loaded.train, validation) if len(validation) else None,
            test=SampleSet(loaded.test, np.arange(info.test_samples)),
        )
