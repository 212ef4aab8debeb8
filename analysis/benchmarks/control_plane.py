"""The control plane with the no-op trainer: what a trial costs that computes nothing.

    python analysis/benchmarks/control_plane.py [--trials 5000] [--workers 8] [--rounds 3] [--quick]

Eight worker processes take, record and seal 5,000 trials of a grid and of a random search, on a
machine that has fewer cores than workers; three rounds of each, taken together: one round's medians
of 500 trials scatter by a fifth. `interval` is the time from the start of one trial to the
start of the next one of the same worker: its no-op training, publication, sealing, and the next
claim. Then one worker alone, a run of 10,000 trials for `status`, and the commands as a user starts
them. Ends with status 1 if a number exceeds its limit.
"""

from __future__ import annotations

import itertools
import json
import math
import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from measuring import arguments, at_most, finish, machine, since

from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir.layout import RunDir, create_run, open_run
from lars_sweep.rundir.workers import read_workers
from lars_sweep.spec.loading import load_sweep
from lars_sweep.spec.strata import DataFacts
from lars_sweep.spec.trainer import Control, Signal, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import make_plan, plan_content
from lars_sweep.worker.noop import NoopTrainer
from lars_sweep.worker.worker import WorkerProcess

FACTS = DataFacts(content_id="benchmark", train_samples=1536)
STRATA = 5
EDGE = 500
"""Trials at each end of a run that are compared."""

SWEEP = """
name = "benchmark"
[model]
name = "small_alexnet_bn"
[data]
name = "digits"
[training]
bn_batch = 32
[space]
optimizer = "sgd"
global_batch = [32, 64, 128, 256, 512]
epochs = 2
base_lr = {{ log = [0.001, 10]{points} }}
{strategy}
[seeds]
count = 1
"""


def sweep_text(kind: str, trials: int) -> str:
    each = math.ceil(trials / STRATA)
    if kind == "grid":
        return SWEEP.format(points=f", points = {each}", strategy="")
    return SWEEP.format(points="", strategy=f'[strategy]\nkind = "{kind}"\nn_points = {each}')


def make_run(directory: Path, kind: str, trials: int, number: int = 0) -> RunDir:
    sweep = directory / f"{kind}-{trials}.toml"
    sweep.write_text(sweep_text(kind, trials))
    plan = make_plan(load_sweep(sweep), FACTS)
    path = directory / f"run-{kind}-{trials}-{number}"
    return create_run(path, plan_content(plan, trainer="noop"))


# ── workers


class TimedTrainer(NoopTrainer):
    """The no-op trainer, with a clock."""

    def __init__(self) -> None:
        self.begins: list[float] = []
        self.ends: list[float] = []

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        self.begins.append(time.monotonic())
        result = super().train(trial, control)
        self.ends.append(time.monotonic())
        return result


def be_worker(path: Path, barrier: Barrier, report: Path) -> None:
    """One worker process; begins with the others."""
    trainer = TimedTrainer()
    worker = WorkerProcess(open_run(path), trainer, lambda: Signal.GO_ON, "local", str(os.getpid()))
    barrier.wait()
    worker.work()
    report.write_text(
        json.dumps(
            {
                "begins": trainer.begins,
                "ends": trainer.ends,
                "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


@dataclass(frozen=True)
class Worked:
    """What the workers of one run measured."""

    intervals: list[tuple[float, float]]
    """(start of the trial, seconds to the worker's next one), in order of starts."""
    gaps: list[float]
    """Seconds from the end of one training to the begin of the worker's next one."""
    wall_s: float
    rss_mib: float


def let_work(run: RunDir, workers: int) -> Worked:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(workers)
    reports = [run.path.parent / f"{run.path.name}-{i}.json" for i in range(workers)]
    team = [context.Process(target=be_worker, args=(run.path, barrier, r)) for r in reports]
    for process in team:
        process.start()
    for process in team:
        process.join()
    told = [json.loads(report.read_text()) for report in reports]
    begins = [one["begins"] for one in told]
    intervals = sorted((a, b - a) for own in begins for a, b in itertools.pairwise(own))
    gaps = [b - e for one in told for e, b in zip(one["ends"], one["begins"][1:], strict=False)]
    return Worked(
        intervals=intervals,
        gaps=gaps,
        wall_s=max(max(one["ends"]) for one in told) - min(min(own) for own in begins),
        rss_mib=max(one["rss_mib"] for one in told),
    )


def measure_workers(runs: Sequence[RunDir], trials: int, workers: int) -> dict[str, Any]:
    """The rounds taken together."""
    rounds = [let_work(run, workers) for run in runs]
    for run in runs:
        finished = load_table(run, "outcomes", ["status"])
        assert finished.num_rows == trials, f"{finished.num_rows} of {trials} trials are there"
    seconds = [[interval for _, interval in worked.intervals] for worked in rounds]
    first = statistics.median(s for one in seconds for s in one[:EDGE])
    last = statistics.median(s for one in seconds for s in one[-EDGE:])
    everything = [s for one in seconds for s in one]
    gaps = [gap for worked in rounds for gap in worked.gaps]
    return {
        "trials": trials,
        "rounds": len(rounds),
        "interval_median_ms": ms(statistics.median(everything)),
        "interval_p99_ms": ms(quantile(everything, 0.99)),
        "gap_max_ms": ms(max(gaps)),
        "gap_median_ms": ms(statistics.median(gaps)),
        "first_500_median_ms": ms(first),
        "last_500_median_ms": ms(last),
        "last_over_first": round(last / first, 3),
        "trials_per_s": round(len(rounds) * trials / sum(worked.wall_s for worked in rounds), 1),
        "rss_max_mib": round(max(worked.rss_mib for worked in rounds), 1),
        "files_after": sum(1 for path in runs[0].path.rglob("*") if path.is_file()),
    }


def ms(seconds: float) -> float:
    return round(1000 * seconds, 2)


def quantile(values: Sequence[float], q: float) -> float:
    return sorted(values)[min(len(values) - 1, math.ceil(q * len(values)) - 1)]


# ── commands


def timed(*arguments: str | Path, rounds: int = 5) -> float:
    """Median seconds of a command, from its start to its end."""
    seconds = []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "lars_sweep", *map(str, arguments)],
            check=True,
            capture_output=True,
        )
        seconds.append(time.perf_counter() - begin)
    return round(statistics.median(seconds), 3)


def measure_launch(directory: Path) -> dict[str, Any]:
    """`launch` of 1,000 trials, and `status` after its worker was killed."""
    sweep = directory / "launched.toml"
    sweep.write_text(sweep_text("grid", 1000))
    path = directory / "launched"
    launch_s = timed(
        "launch", sweep, "--run-dir", path, "--trainer", "noop", "--workers", "1", rounds=1
    )
    run = open_run(path)
    wait_for(lambda: bool(read_workers(run.workers)))
    for worker in read_workers(run.workers):
        os.kill(worker.pid, signal.SIGKILL)
    begin = time.perf_counter()
    wait_for(lambda: status_json(path)["workers_alive"] == 0)
    return {"launch_1000_s": launch_s, "status_right_after_kill_s": since(begin)}


def status_json(path: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "lars_sweep", "status", str(path), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def wait_for(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.02)


def report_tables(run: RunDir) -> float:
    """Seconds from the run directory to the tables of the report."""
    from lars_sweep.report.observations import observe
    from lars_sweep.report.tables import chosen_table, endings_table, points_frame

    begin = time.perf_counter()
    observations = observe(load_table(run, "outcomes"), load_table(run, "curves"))
    for make in (endings_table, chosen_table, points_frame):
        make(observations)
    return since(begin)


LIMITS = {
    "interval_median_ms": 50,
    "interval_p99_ms": 250,
    "last_over_first": 1.2,
    "rss_max_mib": 500,
    "gap_of_one_worker_max_ms": 200,
    "status_s": 1.5,
    "status_10000_s": 1.5,
    "status_right_after_kill_s": 5,
    "report_tables_s": 10,
    "launch_1000_s": 3,
    "help_s": 0.25,
}


def measure(directory: Path, trials: int, workers: int, rounds: int) -> dict[str, Any]:
    results: dict[str, Any] = {"machine": machine(), "workers": workers}
    results["help_s"] = timed("--help")
    for kind in ("grid", "random"):
        runs = [make_run(directory, kind, trials, number) for number in range(rounds)]
        results[kind] = measure_workers(runs, trials, workers)
        results[kind]["status_s"] = timed("status", runs[0].path)
        results[kind]["report_tables_s"] = report_tables(runs[0])
        print(json.dumps(results[kind]), flush=True)
    alone = let_work(make_run(directory, "grid", 600, number=rounds), 1)
    results["gap_of_one_worker_max_ms"] = ms(max(alone.gaps))
    large = make_run(directory, "grid", 2 * trials)
    let_work(large, workers)
    results["status_10000_s"] = timed("status", large.path)
    return results | measure_launch(directory)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--trials", type=int, help="of each run [default: 5000; quick: 600]")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--rounds", type=int, help="[default: 3; quick: 1]")
    options = parser.parse_args()
    trials = options.trials or (600 if options.quick else 5000)
    rounds = options.rounds or (1 if options.quick else 3)
    with tempfile.TemporaryDirectory() as directory:
        results = measure(Path(directory), trials, options.workers, rounds)
    finish(options, __file__, results, list(at_most(results, LIMITS)))


if __name__ == "__main__":
    main()
