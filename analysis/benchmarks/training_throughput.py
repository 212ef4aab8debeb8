"""Training images per second, beside a loop that only computes and a per-sample DataLoader script.

    python analysis/benchmarks/training_throughput.py [--seconds 200] [--quick]

A trial runs as in a sweep; after each of its evaluations, whose time does not count, the other
loops run as many steps with the same network, optimizer, precision and batch:

    compute only   cycles over 32 prepared batches on the device
    contiguous     the same, not channels_last
    loader         a script: a Dataset that augments sample by sample, DataLoader with 0 or all
                   cores' workers, torch's own memory layout
    channels_last loader    the same without workers, in the trial's layout

Every ratio is the trial's images/s over the other's in the same round, of which the median and the
largest are given: what disturbs the machine for longer than a round disturbs both. No trial can be
faster beside the loader than the loop that only computes is, which the limit's name tells. On CUDA
the paper's networks follow at full size, from memory and from packed JPEG files.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from generated_images import make_tree
from measuring import Limit, arguments, begin, finish, spread, surroundings
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from lars_sweep.data import describe_dataset, load_dataset
from lars_sweep.data.pack import pack_dataset
from lars_sweep.spec.trainer import Evaluation, Signal
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.train import LARS, TorchTrainer, build_model
from lars_sweep.train.numerics import supported
from lars_sweep.train.run import input_size

PREPARED = 32
VAL_SHARE = 1 / 30


@dataclass(frozen=True)
class Case:
    dataset: str
    model: str
    global_batch: int
    steps: int
    """Between two evaluations."""
    precision: str = "fp32"
    loader: bool = True
    data_dir: Path | None = None


SMALL = [
    Case("digits", "small_alexnet_bn", 128, 20),
    Case("fashion-mnist", "small_alexnet_bn", 256, 6),
    Case("fashion-mnist", "small_resnet", 128, 3),
]
FULL = [
    Case(
        "synthetic:image_size=256,channels=3,classes=1000,samples=4096",
        model,
        256,
        10,
        precision="bf16",
        loader=False,
    )
    for model in ("alexnet", "alexnet_bn", "googlenet", "resnet50")
]


def trial_of(case: Case, rounds: int) -> TrialSpec:
    info = describe_dataset(case.dataset, case.data_dir)
    samples = info.train_samples - round(VAL_SHARE * info.train_samples)
    return TrialSpec(
        model=case.model,
        dataset=case.dataset,
        data_id=info.content_id,
        samples=samples,
        val_share=VAL_SHARE,
        augmentation="minimal",
        optimizer="lars",
        lars_variant="paper",
        granularity="layer",
        zero_norm="one",
        trust_coefficient=0.001,
        global_batch=case.global_batch,
        bn_batch=case.global_batch,
        base_lr=0.1,
        epochs=case.steps * rounds * case.global_batch / samples,
        evaluations=rounds,
        bn_eval="ema",
        precision=case.precision,
        seed=1,
    )


class Loop:
    """A plain training loop over an endless iterator of batches."""

    def __init__(
        self, case: Case, device: torch.device, batches: Iterator[Any], layout: torch.memory_format
    ) -> None:
        info = describe_dataset(case.dataset, case.data_dir)
        self._model: nn.Module = build_model(
            case.model,
            info.num_classes,
            in_channels=info.channels,
            image_size=input_size(case.model, info.image_size),
            seed=1,
        ).to(device, memory_format=layout)
        self._optimizer = LARS(self._model.parameters(), 0.1, 0.9, 0.0005, 0.001)
        self._case, self._device, self._batches, self._layout = case, device, batches, layout

    def images_per_s(self) -> float:
        begin = time.perf_counter()
        for images, labels in itertools.islice(self._batches, self._case.steps):
            self._step(
                images.to(self._device, memory_format=self._layout, non_blocking=True),
                labels.to(self._device, non_blocking=True),
            )
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
        return self._case.steps * self._case.global_batch / seconds

    def _step(self, images: Tensor, labels: Tensor) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        with autocast(self._case, self._device):
            logits = self._model(images)
        F.cross_entropy(logits.float(), labels).backward()
        self._optimizer.step()


def autocast(case: Case, device: torch.device) -> AbstractContextManager[Any]:
    if case.precision != "bf16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def prepared(case: Case, device: torch.device, layout: torch.memory_format) -> Iterator[Any]:
    info = describe_dataset(case.dataset, case.data_dir)
    size = input_size(case.model, info.image_size)
    shape = (case.global_batch, info.channels, size, size)
    generator = torch.Generator().manual_seed(1)
    batches = []
    for _ in range(PREPARED):
        images = torch.randn(shape, generator=generator).to(device, memory_format=layout)
        labels = torch.randint(info.num_classes, shape[:1], generator=generator).to(device)
        batches.append((images, labels))
    return itertools.cycle(batches)


class PerSample(Dataset[Any]):
    """What a script does: pad, cut, flip and normalise one image at a time."""

    def __init__(self, case: Case) -> None:
        dataset = load_dataset(case.dataset, case.data_dir)
        self._images = np.ascontiguousarray(
            dataset.train.images(np.arange(len(dataset.train.labels)))
        )
        self._labels = torch.tensor(dataset.train.labels)
        self._mean, self._std = (
            torch.tensor(values, dtype=torch.float32).view(-1, 1, 1)
            for values in (dataset.mean, dataset.std)
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = torch.from_numpy(self._images[index])
        side = image.shape[1]
        pad = -(-side // 8)
        image = F.pad(image, (pad, pad, pad, pad))
        top, left, flip = torch.randint(2 * pad + 1, (3,)).tolist()
        image = image[:, top : top + side, left : left + side]
        if flip % 2:
            image = image.flip(2)
        return (image.float() - self._mean) / self._std, self._labels[index]


def loaded(case: Case, workers: int) -> Iterator[Any]:
    loader = DataLoader(
        PerSample(case),
        case.global_batch,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        yield from loader


@dataclass
class Rounds:
    """The trial's `Control`: after each evaluation the other loops have their turn."""

    loops: dict[str, Callable[[], float]]
    until: float
    found: dict[str, list[float]] = field(default_factory=dict)
    waited: list[float] = field(default_factory=list)
    checkpoint_dir: None = None

    def at_step(self, steps_done: int) -> Signal:
        return Signal.GO_ON

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        rates = {"trial": evaluation.images_per_s}
        rates |= {name: loop() for name, loop in self.loops.items()}
        self.waited.append(evaluation.data_wait)
        for name, rate in rates.items():
            self.found.setdefault(name, []).append(rate)
        enough = len(self.waited) > 2 and time.monotonic() > self.until
        return Signal.STOP if enough else Signal.GO_ON


def measure(case: Case, device: torch.device, threads: int, seconds: float) -> dict[str, Any]:
    layouts = {"compute only": torch.channels_last, "contiguous": torch.contiguous_format}
    loops = {
        name: Loop(case, device, prepared(case, device, layout), layout).images_per_s
        for name, layout in layouts.items()
    }
    if case.loader:
        for workers in (0, threads):
            script = Loop(case, device, loaded(case, workers), torch.contiguous_format)
            loops[f"loader, {workers} workers"] = script.images_per_s
        tuned = Loop(case, device, loaded(case, 0), torch.channels_last)
        loops["channels_last loader"] = tuned.images_per_s
    rounds = Rounds(loops, time.monotonic() + seconds)
    trainer = TorchTrainer(
        data_dir=case.data_dir, threads=threads, checkpoint_every_s=1e9, device=str(device)
    )
    trainer.train(trial_of(case, rounds=1000), rounds)
    # The first round warms up: allocators, worker processes.
    rates = {name: spread(values[1:]) for name, values in rounds.found.items()}
    return {
        "dataset": case.dataset,
        "model": case.model,
        "precision": case.precision,
        "global_batch": case.global_batch,
        "images_per_s": rates,
        "data_wait": spread(rounds.waited[1:]),
        "trial_over": {name: over(rounds, "trial", name) for name in loops},
        "compute_only_over": {name: over(rounds, "compute only", name) for name in loops},
    }


def over(rounds: Rounds, one: str, other: str) -> dict[str, float]:
    pairs = zip(rounds.found[one][1:], rounds.found[other][1:], strict=True)
    ratios = [a / b for a, b in pairs]
    return {"median": round(median(ratios), 3), "max": round(max(ratios), 3)}


def cases(device: torch.device, tree: Path) -> list[Case]:
    found = [
        replace(case, precision=precision)
        for case in SMALL
        for precision in ("fp32", "bf16")
        if supported(precision, device)
    ]
    if device.type != "cuda":
        return found
    pack_dataset(make_tree(tree / "files", 4096), tree / "packed" / "imagenet")
    packed = partial(replace, dataset="imagenet", data_dir=tree / "packed")
    return [*found, *FULL, *(packed(case) for case in FULL)]


def limits(rows: list[dict[str, Any]]) -> list[Limit]:
    """Nine tenths of the loop that only computes; a quarter more than the better of the loaders."""
    found = []
    for row in rows:
        name = f"{row['model']} on {row['dataset']}, {row['precision']}"
        ratio = {other: ratios["median"] for other, ratios in row["trial_over"].items()}
        found.append(Limit(f"{name}: over compute only", ratio["compute only"], at_least=0.9))
        loaders = [other for other in ratio if other.startswith("loader")]
        if loaders:
            fastest = min(loaders, key=lambda other: ratio[other])
            bound = row["compute_only_over"][fastest]["median"]
            label = f"{name}: over the loader (compute only: {bound:.2f})"
            found.append(Limit(label, ratio[fastest], at_least=1.25))
    return found


def main() -> None:
    options = arguments(__doc__, seconds=200).parse_args()
    device = begin(options)
    result = surroundings(device) | {"prepared_batches": PREPARED, "cases": []}
    with tempfile.TemporaryDirectory() as scratch:
        todo = cases(device, Path(scratch))
        if options.quick:
            todo = todo[:1]
        for case in todo:
            seconds = 1 if options.quick else options.seconds / len(todo)
            result["cases"].append(measure(case, device, options.threads, seconds))
    finish(options, __file__, result, limits(result["cases"]))


if __name__ == "__main__":
    main()
