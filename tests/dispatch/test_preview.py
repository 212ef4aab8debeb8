"""`launch --dry-run` says what a worker will do: its micro-batches are the trainer's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from runkit import plan_of

from lars_sweep.cluster import layout as layout_module
from lars_sweep.cluster.profile import JobSection, Profile
from lars_sweep.dispatch.preview import StratumLayout, layouts
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.cost import example_trials
from lars_sweep.train.trainer import TorchTrainer

GRID = ["space.global_batch=[512, 1280]", "training.bn_batch=64", "space.base_lr=0.1"]


@pytest.fixture
def trials(tmp_path: Path) -> dict[str, list[TrialSpec]]:
    return example_trials(plan_of(tmp_path, overrides=GRID))


def shape(lines: list[StratumLayout]) -> list[tuple[int, int, int, int]]:
    return [(x.ranks_per_node, x.micro_batch, x.accumulation, x.idle_ranks) for x in lines]


@pytest.mark.parametrize(
    ("image_size", "expected"),
    [
        (8, [(1, 512, 1, 0), (1, 1024, 2, 0)]),
        (32, [(1, 512, 1, 0), (1, 1024, 2, 0)]),
        (64, [(1, 256, 2, 0), (1, 256, 5, 0)]),
        (256, [(1, 64, 8, 0), (1, 64, 20, 0)]),
    ],
)
def test_large_images_make_small_micro_batches_on_the_cpu(
    trials: dict[str, list[TrialSpec]], image_size: int, expected: list[tuple[int, int, int, int]]
) -> None:
    profile = Profile(name="x", executor="slurm")
    assert shape(layouts(profile, trials, image_size=image_size)) == expected


def test_gpus_take_8192_samples_whatever_their_size(trials: dict[str, list[TrialSpec]]) -> None:
    profile = Profile(name="x", executor="slurm", job=JobSection(gpus_per_node=8))
    assert shape(layouts(profile, trials, image_size=256)) == [(8, 64, 1, 0), (8, 192, 1, 0)]


@pytest.mark.parametrize("image_size", [8, 64, 256])
def test_the_trainer_begins_so(trials: dict[str, list[TrialSpec]], image_size: int) -> None:
    trainer = TorchTrainer(device="cpu", threads=1)
    profile = Profile(name="x", executor="slurm")
    for line, (trial, *_) in zip(
        layouts(profile, trials, image_size=image_size), trials.values(), strict=True
    ):
        most = trainer._options(trial, image_size).most_samples
        atoms = max(1, most // trial.bn_batch)
        assert line.micro_batch == min(trial.global_batch, atoms * trial.bn_batch)


def test_a_local_worker_on_a_gpu_is_shown_so(
    trials: dict[str, list[TrialSpec]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_module, "local_gpus", lambda: ("0", "1"))
    profile = Profile(name="x", executor="local")
    assert shape(layouts(profile, trials, image_size=256)) == [(1, 512, 1, 0), (1, 1280, 1, 0)]
