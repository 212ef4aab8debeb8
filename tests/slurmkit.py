"""Sweeps on the development cluster: launched, disturbed, and compared with what must come out."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clusterkit import WAIT_S, Lab

from lars_sweep.cluster.loading import load_profile
from lars_sweep.data import describe_dataset
from lars_sweep.dispatch.slurm import cancel_arrays
from lars_sweep.dispatch.submit import submit_workers
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import claims, publish, requests, workers
from lars_sweep.rundir.launches import Launch, read_launches
from lars_sweep.rundir.layout import RunDir, create_run, open_run
from lars_sweep.rundir.workers import Worker
from lars_sweep.spec.loading import load_sweep
from lars_sweep.spec.strata import DataFacts
from lars_sweep.study.plan import load_plan, make_plan, plan_content

OURS = frozenset(
    {"attempts", "wall_s", "device_s", "device", "versions", "git_commit", "started_at",
     "finished_at", "images_per_s"}
)  # fmt: skip
"""Columns about how a trial was run; all others are about what it computed."""

SWEEP = """
name = "short"
[model]
name = "small_alexnet_bn"
[data]
name = "digits"
[training]
bn_batch = 32
evaluations = 4
[space]
optimizer = "sgd"
global_batch = {batch}
epochs = {epochs}
base_lr = {base_lr}
[seeds]
count = 1
"""


def sweep_text(*, points: int, steps: int, batch: int = 128) -> str:
    """A sweep of one stratum: ``points`` trials of ``steps`` steps."""
    samples = describe_dataset("digits").train_samples * 5 // 6
    base_lr = f"{{ log = [0.01, 1.0], points = {points} }}" if points > 1 else "0.1"
    return SWEEP.format(base_lr=base_lr, batch=batch, epochs=round(steps * batch / samples, 6))


@dataclass
class Site:
    """Some nodes, and profiles that use no others."""

    lab: Lab
    folder: Path
    runs: list[RunDir] = field(default_factory=list)

    def profile(self, text: str = "", name: str = "site", **job: Any) -> Path:
        """A profile of one-rank workers on this site's nodes, with more keys in ``text``."""
        others = set(self.lab.cluster.settings.node_names) - set(self.lab.nodes)
        keys = {"mem_gib": 1.0, "time_limit_min": 20, "cpus_per_task": 1} | job
        rows = "\n".join(f"{key} = {_toml(value)}" for key, value in keys.items())
        exclude = f'exclude = "{",".join(sorted(others))}"' if others else ""
        path = self.folder / f"{name}.toml"
        path.write_text(
            f'executor = "slurm"\nthreads = 1\ncheckpoint_every_s = 0.5\n{text}\n'
            f'[job]\n{rows}\n[communication]\ninterface = "lo"\n[sbatch]\n{exclude}\n'
        )
        return path

    def plan(
        self, text: str, *, trainer: str = "paced", name: str = "run", content_id: str = ""
    ) -> RunDir:
        """A run directory; nothing is submitted. The content may be other data's than digits."""
        sweep = self.folder / f"{name}.sweep.toml"
        sweep.write_text(text)
        info = describe_dataset("digits")
        facts = DataFacts(
            content_id=content_id or info.content_id, train_samples=info.train_samples
        )
        plan = make_plan(load_sweep(sweep, ()), facts)
        run = create_run(self.folder / name, plan_content(plan, trainer=trainer))
        self.runs.append(run)
        return run

    def submit(self, run: RunDir, profile: Path, workers_wanted: int) -> Launch | None:
        """What ``launch`` and ``resume`` do once there is a plan."""
        requests.withdraw_stop(run)
        return submit_workers(run, load_profile(profile), wanted=workers_wanted)

    def launch(self, text: str, profile: Path, module: str, *, name: str = "run") -> RunDir:
        """What ``lars-sweep launch`` does in a folder with a module of the user's own."""
        (self.folder / "mine.py").write_text(module)
        (self.folder / f"{name}.sweep.toml").write_text(text)
        command("launch", f"{name}.sweep.toml", "--run-dir", name, "--profile", profile,
                folder=self.folder)  # fmt: skip
        run = open_run(self.folder / name)
        self.runs.append(run)
        return run

    def close(self) -> None:
        """End what still runs there."""
        arrays = []
        for run in self.runs:
            for launch in read_launches(run):
                arrays += [*launch.job_ids, *filter(None, [launch.canary])]
        cancel_arrays(arrays)
        until(lambda: not self.queue(arrays), "the jobs of the test to go")

    def queue(self, arrays: Sequence[str]) -> str:
        """squeue's rows about arrays."""
        if not arrays:
            return ""
        return self.lab.cluster.run("squeue", "-h", f"--jobs={','.join([*arrays, '1'])}")


At = Callable[["int | Lab"], Site]


def command(*words: str | Path, folder: Path | None = None) -> str:
    """What a command of ours prints."""
    done = subprocess.run(
        [sys.executable, "-m", "lars_sweep", *map(str, words)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def until(true: Callable[[], object], what: str, seconds: float = WAIT_S) -> None:
    """Poll; fail with ``what`` if it does not come."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.1)


def rows(run: RunDir) -> list[dict[str, Any]]:
    """All outcomes; asserts that no trial has two."""
    found: list[dict[str, Any]] = load_table(run, "outcomes").to_pylist()
    ids = [row["trial_id"] for row in found]
    assert len(ids) == len(set(ids))
    return found


def science(run: RunDir) -> dict[str, dict[str, Any]]:
    """Trial → what it computed."""
    return {
        row["trial_id"]: {name: value for name, value in row.items() if name not in OURS}
        for row in rows(run)
    }


def finished(run: RunDir) -> int:
    return len(rows(run))


def wait_finished(run: RunDir, seconds: float = 2 * WAIT_S) -> None:
    """Until every trial has an outcome, exactly one each."""
    wanted = {queued.trial_id for queued in load_plan(run).queue}
    deadline = time.monotonic() + seconds
    while finished(run) < len(wanted):
        assert time.monotonic() < deadline, f"{finished(run)} of {len(wanted)} done\n{story(run)}"
        time.sleep(0.3)
    assert {row["trial_id"] for row in rows(run)} == wanted


def story(run: RunDir) -> str:
    """What is known of a run, for a failure's message."""
    parts = [str(vars(load_plan(run)).get("total_trials", ""))]
    parts += [f"{w.worker_id} {w.state} {w.trial_id} step {w.steps_done}" for w in known(run)]
    parts += publish.names(run.claims)
    for log in sorted(run.logs.glob("*_log.out")):
        parts.append(f"--- {log.name}\n{log.read_text(errors='replace')[-1500:]}")
    return "\n".join(parts)


def known(run: RunDir) -> list[Worker]:
    return list(workers.read_workers(run.workers))


def running(run: RunDir, *, steps: int = 1) -> list[Worker]:
    """Workers in the middle of a trial, so many steps into it."""
    return [w for w in known(run) if w.state == "running" and w.steps_done >= steps]


def wait_running(run: RunDir, *, steps: int = 1) -> Worker:
    """Until a worker is in mid-trial, so many steps into it."""
    until(lambda: running(run, steps=steps), "a worker in mid-trial")
    return running(run, steps=steps)[0]


def releases(run: RunDir, trial_id: str) -> list[claims.Release]:
    """Why each attempt at a trial ended, oldest first."""
    return [
        said
        for attempt in range(1, 1 + claims.attempts(run.claims, trial_id))
        if (said := claims.read_release(run.claims, trial_id, attempt)) is not None
    ]


def starts(run: RunDir, trial_id: str) -> list[tuple[int, int]]:
    """(first step, last step) of each attempt that came to a word, by the logs."""
    found = []
    for log in run.logs.rglob("*_log.out"):
        for line in log.read_text(errors="replace").splitlines():
            match = re.match(rf"(\S+ \S+) .*trial {trial_id}: \w+, steps (\d+) to (\d+)", line)
            if match:
                found.append((match[1], int(match[2]), int(match[3])))
    return [(first, last) for _, first, last in sorted(found)]


def reference(run: RunDir, folder: Path) -> dict[str, dict[str, Any]]:
    """What an undisturbed local run of the same plan computes."""
    from runkit import worker_of

    from lars_sweep.worker.paced import PacedTrainer

    content = {k: v for k, v in run.content.items() if k not in ("run_id", "created_at")}
    twin = create_run(folder / "undisturbed", content)
    worker_of(twin, PacedTrainer(step_s=1e-6)).work()
    return science(open_run(twin.path))


def job_log(run: RunDir, job_id: str) -> str:
    """What all ranks of a job wrote."""
    return "\n".join(p.read_text(errors="replace") for p in run.logs.glob(f"{job_id}_*_log.out"))


def pids(site: Site, job_id: str, rank: int) -> list[int]:
    """Processes of one rank of a job; all nodes, of other clusters too, are this machine."""
    array, _, task = job_id.partition("_")
    wanted = {
        f"SLURM_CLUSTER_NAME={site.lab.cluster.settings.name}",
        f"SLURM_ARRAY_JOB_ID={array}",
        f"SLURM_ARRAY_TASK_ID={task}",
        f"SLURM_PROCID={rank}",
    }
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ = (entry / "environ").read_bytes().decode(errors="replace").split("\0")
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if wanted <= set(environ) and b"lars_sweep.worker" in command:
                found.append(int(entry.name))
    return found
