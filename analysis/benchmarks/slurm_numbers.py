"""What lars-sweep costs on SLURM, on a development cluster that this script starts (root).

    python analysis/benchmarks/slurm_numbers.py [--quick] [--out F]

* `launch` of 1,000 trials on 8 workers, the median of some rounds;
* `status` of 10,000 trials of which 64 run, each in a job of its own;
* the first step of a worker's next trial after its last outcome: torch, two gloo ranks on two
  nodes. Both times are what the run directory says: of the outcome's file, and in the heartbeat
  that follows a trial's first step;
* 60 s trials of paced steps in a job, beside the same steps in a bare loop at the same time;
* files per trial while 1,000 no-op trials run and after (plan, launch, heartbeats and logs are
  there however few the trials), and the disk that the torch run takes at its fullest beside what
  `plan` said.

Ends with status 1 if a number exceeds its limit; about five minutes.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import re
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Any

from control_plane import FACTS, sweep_text
from measuring import arguments, at_most, finish, machine
from slurm_site import cluster, command, finished, plan_of, profile, running, timed, wait

from lars_sweep.cluster.loading import load_profile
from lars_sweep.data import describe_dataset
from lars_sweep.dispatch.stop import cancel
from lars_sweep.dispatch.submit import submit_workers
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir, create_run, open_run
from lars_sweep.rundir.workers import read_workers
from lars_sweep.spec.strata import DataFacts
from lars_sweep.spec.trainer import Control, Evaluation, Signal, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import load_plan, plan_content
from lars_sweep.worker.noop import NoopTrainer
from lars_sweep.worker.paced import PacedTrainer
from lars_sweep.worker.worker import WorkerProcess

LIMITS = {
    "launch_1000_median_s": 3,
    "status_10000_median_s": 1.5,
    "next_first_step_max_s": 0.3,
    "overhead_percent": 3,
    "files_per_trial_running_max": 4,
    "files_per_trial_sealed": 0.1,
    "peak_disk_over_plan": 1,
}
STEP_S = 0.05
RUNNING = 64
"""Trials that run while `status` is asked."""
TORCH_SWEEP = """
name = "steps"
[model]
name = "small_alexnet_bn"
[data]
name = "digits"
[training]
bn_batch = 32
evaluations = 4
[space]
optimizer = "sgd"
global_batch = 128
epochs = 4
base_lr = {{ log = [0.01, 0.1], points = {points} }}
[seeds]
count = 1
"""


# ── commands


def measure_launch(directory: Path, rounds: int) -> dict[str, Any]:
    """`launch` of 1,000 trials on 8 workers, as a user starts it."""
    site = profile(directory, "launch")
    sweep = directory / "launch.sweep.toml"
    sweep.write_text(sweep_text("grid", 1000))
    seconds = []
    for number in range(rounds):
        path = directory / f"launched-{number}"
        seconds.append(
            timed("launch", sweep, "--run-dir", path, "--profile", site, "--workers", "8",
                  "--trainer", "noop")
        )  # fmt: skip
        cancel(open_run(path))
    return {
        "launch_1000_rounds_s": seconds,
        "launch_1000_median_s": round(statistics.median(seconds), 3),
    }


class Counting(NoopTrainer):
    """Counts the finished trials of all workers together."""

    def __init__(self, done: Synchronized[int]) -> None:
        self._done = done

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        result = super().train(trial, control)
        with self._done.get_lock():
            self._done.value += result.status == "ok"
        return result


def work_until(run: Path, done: Synchronized[int], enough: int) -> None:
    """Be a worker of the team that ends with so many trials, or a few more."""
    WorkerProcess(
        open_run(run),
        Counting(done),
        lambda: Signal.PREEMPTED if done.value >= enough else Signal.GO_ON,
        "local",
        str(os.getpid()),
    ).work()


def measure_status(directory: Path, trials: int, rounds: int) -> dict[str, Any]:
    """All but 64 trials are done by some workers here; the others run in jobs."""
    plan = plan_of(directory, "status", sweep_text("grid", trials), FACTS)
    run = create_run(directory / "status", plan_content(plan, trainer="paced"))
    context, team = multiprocessing.get_context("spawn"), 4
    done, enough = context.Value("i", 0), len(plan.queue) - RUNNING - team
    processes = [
        context.Process(target=work_until, args=(run.path, done, enough)) for _ in range(team)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    before = finished(run)
    assert enough <= before <= len(plan.queue) - RUNNING, f"{before} of {len(plan.queue)} are done"
    os.environ["LARS_SWEEP_STEP_S"] = "60"
    try:
        submit_workers(run, load_profile(profile(directory, "status")), wanted=RUNNING)
        wait(lambda: len(running(run)) == RUNNING, f"{RUNNING} trials to run")
        time.sleep(10)  # so many processes have just been started here
        seconds = [timed("status", run.path) for _ in range(rounds)]
        counted = json.loads(command("status", run.path, "--json"))
    finally:
        del os.environ["LARS_SWEEP_STEP_S"]
        cancel(run)
    assert sum(line["running"] for line in counted["strata"]) == RUNNING
    assert counted["finished"] == before
    return {
        "status_trials": trials,
        "status_rounds_s": seconds,
        "status_10000_median_s": round(statistics.median(seconds), 3),
    }


# ── trials


class Watch(threading.Thread):
    """Reads a run directory again and again until it is stopped."""

    def __init__(self, look: Callable[[], None], every_s: float) -> None:
        super().__init__(daemon=True)
        self._look, self._every_s, self._over = look, every_s, threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._every_s):
            self._look()

    def stop(self) -> None:
        self._over.set()
        self.join()


def measure_torch(directory: Path, points: int) -> dict[str, Any]:
    """Steps and disk of a run on two nodes of one rank each."""
    info = describe_dataset("digits")
    facts = DataFacts(content_id=info.content_id, train_samples=info.train_samples)
    text = TORCH_SWEEP.format(points=points)
    run = create_run(
        directory / "torch",
        plan_content(plan_of(directory, "torch", text, facts), trainer="torch"),
    )
    planned = json.loads(command("plan", directory / "torch.sweep.toml", "--json"))
    first_step: dict[str, float] = {}
    written: dict[str, float] = {}
    sizes: list[int] = []

    def heartbeat() -> None:
        for worker in running(run):
            if worker.steps_done > 0 and worker.trial_id is not None:
                first_step.setdefault(worker.trial_id, worker.updated_at)
        for name in publish.names(run.outcomes):
            trial_id = name.removesuffix(".json")
            if trial_id not in written:
                written[trial_id] = modified(run.outcome(trial_id))

    watches = [
        Watch(heartbeat, 0.005),
        Watch(lambda: sizes.append(sum(map(size, files(run)))), 0.1),
    ]
    site = load_profile(profile(directory, "torch", "checkpoint_every_s = 1", nodes=2, mem_gib=2.0))
    for watch in watches:
        watch.start()
    submit_workers(run, site, wanted=1)
    wait(lambda: finished(run) == points, "the torch trials")
    for watch in watches:
        watch.stop()
    order = sorted(first_step, key=lambda trial_id: first_step[trial_id])
    waits = [
        first_step[after] - written[before]
        for before, after in itertools.pairwise(order)
        if before in written
    ]
    assert len(waits) >= points // 2, f"only {len(waits)} of {points - 1} transitions were seen"
    return {
        "next_first_step_n": len(waits),
        "next_first_step_median_s": round(statistics.median(waits), 3),
        "next_first_step_max_s": round(max(waits), 3),
        "peak_disk_mib": round(max(sizes) / 2**20, 2),
        "planned_disk_mib": round(planned["peak_disk_bytes"] / 2**20, 2),
        "peak_disk_over_plan": round(max(sizes) / planned["peak_disk_bytes"], 3),
    }


class Bare:
    """Implements `lars_sweep.spec.trainer.Control`: nothing watches, nothing is kept."""

    checkpoint_dir: Path | None = None

    def at_step(self, steps_done: int) -> Signal:
        return Signal.GO_ON

    def at_evaluation(self, evaluation: Evaluation) -> Signal:
        return Signal.GO_ON


def measure_overhead(directory: Path, seconds: float) -> dict[str, Any]:
    """Outcome to outcome in a job, and the bare loop here meanwhile; the steps only sleep.

    Two short trials go ahead: the first outcome of a job comes after its start.
    """
    samples = FACTS.train_samples - FACTS.train_samples // 6
    lengths = [steps * 128 / samples for steps in (20, round(seconds / STEP_S))]
    text = TORCH_SWEEP.replace("epochs = 4", f"epochs = {lengths}").format(points=2)
    plan = plan_of(directory, "overhead", text, FACTS)
    run = create_run(directory / "overhead", plan_content(plan, trainer="paced"))
    os.environ["LARS_SWEEP_STEP_S"] = str(STEP_S)
    submit_workers(run, load_profile(profile(directory, "overhead")), wanted=1)
    del os.environ["LARS_SWEEP_STEP_S"]
    wait(lambda: finished(run) == 2, "the short trials", 0.01)
    bare, trial = [], load_plan(run).trial(plan.queue[-1])
    for _ in range(2):
        begin = time.perf_counter()
        PacedTrainer(step_s=STEP_S).train(trial, Bare())
        bare.append(time.perf_counter() - begin)
    wait(lambda: finished(run) == 4, "the last trial", 0.01)
    ends = sorted(load_table(run, "outcomes", ["finished_at"])["finished_at"].to_pylist())[1:]
    whole = [(after - before).total_seconds() for before, after in itertools.pairwise(ends)]
    return {
        "trial_steps": trial.steps,
        "in_a_job_s": [round(one, 3) for one in whole],
        "bare_loop_s": [round(one, 3) for one in bare],
        "overhead_percent": round(100 * (sum(whole) / sum(bare) - 1), 3),
    }


def measure_files(directory: Path, trials: int) -> dict[str, Any]:
    """Files whose names tell a trial, per such trial; in the end all files, per trial."""
    plan = plan_of(directory, "files", sweep_text("grid", trials), FACTS)
    run = create_run(directory / "files", plan_content(plan, trainer="noop"))
    shares = [0.0]

    def count() -> None:
        named = re.compile(r"[0-9a-f]{16}")
        found = Counter(
            match[0]
            for path in files(run)
            if (match := named.search(str(path.relative_to(run.path))))
        )
        if len(found) >= 16:
            shares.append(sum(found.values()) / len(found))

    watch = Watch(count, 0.1)
    watch.start()
    submit_workers(run, load_profile(profile(directory, "files")), wanted=4)
    wait(lambda: finished(run) == trials, "the no-op trials")
    watch.stop()
    wait(lambda: all(w.ended for w in read_workers(run.workers)), "the workers to end")
    return {
        "files_per_trial_running_max": round(max(shares), 2),
        "files_looks": len(shares) - 1,
        "files_per_trial_sealed": round(len(files(run)) / trials, 3),
    }


def files(run: RunDir) -> list[Path]:
    # Not Path.rglob: it stumbles over what is removed meanwhile.
    return [Path(where) / name for where, _, names in os.walk(run.path) for name in names]


def size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def modified(path: Path) -> float:
    return path.stat().st_mtime


def measure(directory: Path, *, quick: bool) -> Iterator[dict[str, Any]]:
    rounds = 2 if quick else 5
    yield measure_launch(directory, rounds)
    yield measure_torch(directory, 4 if quick else 12)
    yield measure_overhead(directory, 5 if quick else 60)
    yield measure_files(directory, 1000)  # fewer have too many files each: some are the run's own
    yield measure_status(directory, 300 if quick else 10_000, rounds)


def main() -> None:
    options = arguments(__doc__).parse_args()
    results: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory() as directory, cluster():
        for found in measure(Path(directory), quick=options.quick):
            print(json.dumps(found), flush=True)
            results |= found
    finish(options, __file__, results, list(at_most(results, LIMITS)))


if __name__ == "__main__":
    main()
