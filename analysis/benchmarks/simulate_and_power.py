"""How long a simulated sweep and a power report take, as a user starts them.

    python analysis/benchmarks/simulate_and_power.py [--quick] [--trials 500] [--rounds 3]

`launch --simulate --wait` plans the sweep, starts the local profile's workers, follows them and
writes the report (`with_report_s`; the report has a benchmark of its own). `run_s` is the time from
`launch --simulate` until `status --watch` has seen the last outcome. `plan --power` judges five
batches of nine LRs with three seeds. Every round's time is kept, the median counts. Ends with
status 1 if a number exceeds its limit.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import arguments, at_most, finish, machine

LIMITS = {"run_s": 20, "power_s": 20}
SEEDS = 5
BATCHES = (32, 64, 128, 256, 512)

SWEEP = """
name = "benchmark"
[model]
name = "small_alexnet_bn"
[data]
name = "digits"
[training]
bn_batch = 32
[space]
optimizer = "lars"
global_batch = [{batches}]
epochs = 15
base_lr = {{ log = [0.5, 200], points = {points} }}
[seeds]
count = {seeds}
"""


def sweep(directory: Path, points: int, seeds: int) -> Path:
    path = directory / f"{points}-{seeds}.toml"
    batches = ", ".join(map(str, BATCHES))
    path.write_text(SWEEP.format(batches=batches, points=points, seeds=seeds))
    return path


def lars_sweep(*arguments: str | Path) -> str:
    """A command as a user starts it; what it wrote to stdout."""
    command = [sys.executable, "-m", "lars_sweep", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def timed(*commands: tuple[str | Path, ...]) -> float:
    begin = time.perf_counter()
    for command in commands:
        lars_sweep(*command)
    return time.perf_counter() - begin


def simulated(directory: Path, trials: int, rounds: int) -> dict[str, Any]:
    file = sweep(directory, math.ceil(trials / SEEDS / len(BATCHES)), SEEDS)
    runs, reports = [], []
    for number in range(rounds):
        bare, whole = directory / f"bare-{number}", directory / f"whole-{number}"
        runs.append(
            timed(
                ("launch", file, "--simulate", "--run-dir", bare),
                ("status", bare, "--watch"),
            )
        )
        reports.append(timed(("launch", file, "--simulate", "--wait", "--run-dir", whole)))
        finished = json.loads(lars_sweep("status", bare, "--json"))["finished"]
        assert finished >= trials, f"{finished} of {trials} trials are there"
    return {"trials": finished} | summary("run_s", runs) | summary("with_report_s", reports)


def powered(directory: Path, rounds: int) -> dict[str, Any]:
    file = sweep(directory, 9, 3)
    return summary("power_s", [timed(("plan", file, "--power", "--json")) for _ in range(rounds)])


def summary(name: str, seconds: list[float]) -> dict[str, Any]:
    return {
        name: round(statistics.median(seconds), 2),
        f"{name.removesuffix('_s')}_rounds_s": [round(value, 2) for value in seconds],
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    trials, rounds = (50, 1) if options.quick else (options.trials, options.rounds)
    results: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as directory:
        results |= simulated(Path(directory), trials, rounds)
        results |= powered(Path(directory), rounds)
    finish(options, __file__, results, list(at_most(results, LIMITS)))


if __name__ == "__main__":
    main()
