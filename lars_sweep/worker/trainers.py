"""The trainers a worker can run, by the name in the run's plan."""

from __future__ import annotations

from lars_sweep.errors import RunError
from lars_sweep.spec.noise import NoisePlan
from lars_sweep.spec.trainer import Trainer
from lars_sweep.worker.noop import NoopTrainer
from lars_sweep.worker.order import WorkOrder
from lars_sweep.worker.paced import PacedTrainer


def make_trainer(name: str, order: WorkOrder, noise: NoisePlan | None = None) -> Trainer:
    """The trainer called ``name``: torch, analytic, noop or paced.

    Args:
        name: of the run's plan.
        order: what this job is told.
        noise: where the sweep wants its gradient noise measured; only torch has any.

    Raises:
        RunError: there is no such trainer.
    """
    if name == "torch":
        from lars_sweep.train import TorchTrainer

        return TorchTrainer(
            data_dir=order.data_dir,
            threads=order.threads,
            checkpoint_every_s=order.checkpoint_every_s,
            noise=noise,
        )
    if name == "analytic":
        from lars_sweep.worker.analytic import AnalyticTrainer

        return AnalyticTrainer()
    if name == "noop":
        return NoopTrainer()
    if name == "paced":
        return PacedTrainer(checkpoint_every_s=order.checkpoint_every_s)
    raise RunError(f"no trainer called {name!r}; allowed: torch, analytic, noop, paced")
