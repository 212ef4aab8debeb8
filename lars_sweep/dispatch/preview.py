"""``launch --dry-run``: what would be submitted, to the letter, and how each stratum lies on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from lars_sweep.cluster.layout import WorkerLayout, worker_layout
from lars_sweep.cluster.profile import Profile
from lars_sweep.dispatch.slurm import WorkerExecutor, tasks_per_worker
from lars_sweep.spec.micro_batch import first_micro_batch
from lars_sweep.spec.trial import TrialSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumLayout:
    """How a global batch is dealt: nodes × ranks × micro-batch × accumulation."""

    stratum: str
    global_batch: int
    nodes: int
    ranks_per_node: int
    micro_batch: int
    """Samples of one forward pass on the rank that has most."""
    accumulation: int
    """Forward passes per step on that rank."""
    idle_ranks: int
    """Ranks without a single atom: too many for this batch."""

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def layouts(
    profile: Profile, trials: Mapping[str, Iterable[TrialSpec]], *, image_size: int
) -> list[StratumLayout]:
    """One line per stratum and batch.

    Args:
        profile: where they run.
        trials: of each stratum.
        image_size: side of the data set's images, pixels.
    """
    layout = worker_layout(profile)
    most = first_micro_batch(cuda=layout.gpus_per_node > 0, image_size=image_size)
    found = {
        (name, trial.global_batch, trial.bn_batch): _layout(name, trial, layout, most)
        for name, group in trials.items()
        for trial in group
    }
    return list(found.values())


def _layout(name: str, trial: TrialSpec, layout: WorkerLayout, most: int) -> StratumLayout:
    atoms = trial.global_batch // trial.bn_batch
    share = -(-atoms // layout.ranks)  # of the rank that has most
    at_once = min(share, max(1, most // trial.bn_batch))
    return StratumLayout(
        stratum=name,
        global_batch=trial.global_batch,
        nodes=layout.nodes if layout.worlds == 1 else 1,
        ranks_per_node=layout.tasks_per_node if layout.worlds == 1 else 1,
        micro_batch=at_once * trial.bn_batch,
        accumulation=-(-share // at_once),
        idle_ranks=max(0, layout.ranks - atoms),
    )


def sbatch_text(run: Path, profile: Profile, workers: int) -> str:
    """The batch script of each worker of a first launch into ``run``."""
    executor = WorkerExecutor(run / "logs", profile)
    command = executor.prepare(
        run / "orders" / "1.json",
        tasks=tasks_per_worker(profile, workers),
        name="lars-RUN-1-0",
        after="CANARY" if profile.canary else "",
        exclude="",
    )
    return executor.text(command)
