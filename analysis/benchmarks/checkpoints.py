"""What a checkpoint at every epoch costs a trial of a minute, and how long an epoch's order takes.

    python analysis/benchmarks/checkpoints.py [--seconds 60] [--quick]

The time inside of saving (state to bytes, checksum, fsync, rename) over the trial's wall-clock
time, from one run: two runs of a minute differ by more than the 2 % that are asked for. Beside it
the time of one checkpoint of each full-size network.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from measuring import Limit, arguments, begin, finish, interleaved, spread, surroundings
from training_throughput import SMALL, trial_of

from lars_sweep.data import epoch_order
from lars_sweep.spec.trainer import Evaluation, Signal
from lars_sweep.train import LARS, TorchTrainer, build_model
from lars_sweep.train.checkpoint import save_checkpoint
from lars_sweep.train.run import TrialRun

IMAGENET = 1_281_167
EPOCHS = 10


class Watch:
    """A `Control` that only keeps checkpoints."""

    def __init__(self, directory: Path | None, stop_after: int | None = None) -> None:
        self.checkpoint_dir, self._stop_after = directory, stop_after

    def at_step(self, steps_done: int) -> Signal:
        return Signal.STOP if steps_done == self._stop_after else Signal.GO_ON

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        return Signal.GO_ON


def seconds_per_step(trainer: TorchTrainer, trial: Any) -> float:
    begin = time.perf_counter()
    trainer.train(trial, Watch(None, stop_after=20))
    return (time.perf_counter() - begin) / 20


def of_a_trial(threads: int, seconds: float, scratch: Path) -> dict[str, Any]:
    """A trial of about so many seconds with a checkpoint in each of its ten epochs."""
    case = replace(SMALL[1], global_batch=512)
    short = trial_of(case, rounds=100)
    trainer = TorchTrainer(threads=threads, checkpoint_every_s=seconds / EPOCHS)
    seconds_per_step(trainer, short)
    steps = max(EPOCHS, round(0.9 * seconds / seconds_per_step(trainer, short)))
    epochs = steps * case.global_batch / short.samples
    trial = replace(short, epochs=epochs, evaluations=EPOCHS)
    spent: list[float] = []
    save = TrialRun._save

    def timed(run: TrialRun) -> None:
        begin = time.perf_counter()
        save(run)
        spent.append(time.perf_counter() - begin)

    begin = time.perf_counter()
    with patch.object(TrialRun, "_save", timed):
        trainer.train(trial, Watch(scratch))
    wall = time.perf_counter() - begin
    return {
        "model": trial.model,
        "steps": trial.steps,
        "wall_s": round(wall, 2),
        "checkpoints": len(spent),
        "checkpoint_mb": round(max(p.stat().st_size for p in scratch.glob("*.pt")) / 1e6, 1),
        "checkpoint_s": spread(spent),
        "share_percent": round(100 * sum(spent) / len(spent) * EPOCHS / wall, 3),
    }


def of_networks(names: list[str], scratch: Path) -> dict[str, Any]:
    rows = {}
    for name in names:
        model = build_model(name, seed=1)
        optimizer = LARS(model.parameters(), 0.1)
        for parameter in model.parameters():
            parameter.grad = parameter.detach()
        optimizer.step()
        content = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        spent = []
        for step in range(3):
            begin = time.perf_counter()
            path = save_checkpoint(scratch, step, content)
            spent.append(time.perf_counter() - begin)
        rows[name] = {"mb": round(path.stat().st_size / 1e6, 1), "s": spread(spent)}
        for file in scratch.glob("*.pt"):
            file.unlink()
    return rows


def main() -> None:
    parser = arguments(__doc__, seconds=60)
    parser.add_argument("--scratch", type=Path, help="where the checkpoints lie meanwhile")
    options = parser.parse_args()
    device = begin(options)
    networks = ["resnet50"] if options.quick else ["alexnet", "googlenet", "resnet50"]
    orders: dict[str, Callable[[], Any]] = {"order": lambda: epoch_order(1, 2, IMAGENET)}
    times = interleaved(orders, device, 1 if options.quick else 10)["order"]["wall"]
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        places = [Path(scratch) / name for name in ("trial", "networks")]
        for place in places:
            place.mkdir()
        seconds = 3 if options.quick else options.seconds
        result = surroundings(device) | {
            "trial": of_a_trial(options.threads, seconds, places[0]),
            "networks": of_networks(networks, places[1]),
            "epoch_order": {
                "samples": IMAGENET,
                "seconds": spread([value / 1e3 for value in times]),
            },
        }
    limits = [
        Limit("share of the trial, percent", result["trial"]["share_percent"], at_most=2),
        Limit("order, seconds", result["epoch_order"]["seconds"]["median"], at_most=0.5),
    ]
    finish(options, __file__, result, limits)


if __name__ == "__main__":
    main()
