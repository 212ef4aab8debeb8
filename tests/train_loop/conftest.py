"""One trainer per test module: it keeps data sets, and is what a worker would hold."""

from __future__ import annotations

import pytest

from lars_sweep.train import TorchTrainer


@pytest.fixture(scope="module")
def trainer() -> TorchTrainer:
    """Keeps a checkpoint of every step, so that the last weights can be looked at."""
    return TorchTrainer(device="cpu", threads=1, checkpoint_every_s=0)
