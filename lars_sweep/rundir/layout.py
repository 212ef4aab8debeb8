"""The run directory: every path in it, how it is made and how it is recognised.

plan.json            what this run is: run id, sweep, data facts and, for planned strategies,
                     every trial; immutable; its existence makes the directory a run
points/              asked points of adaptive strategies, one file a point
claims/              TRIAL.ATTEMPT: taken by a worker;  TRIAL.ATTEMPT.released: given back
attempts/            TRIAL.ATTEMPT.jsonl: evaluations as they are measured
outcomes/            TRIAL.json: finished trials that are not sealed yet
parts/TABLE/         sealed outcomes and what was measured in them, Parquet
checkpoints/TRIAL/   one directory per attempt
workers/             one heartbeat file per worker
launches/            what was submitted when
orders/              what SLURM jobs read when they start
scheduler/           what SLURM last said about the run's jobs; who asked when
code/                the user's own modules, as they were at the launch
requests/            stop and prune, asked by the user
set-aside/           damaged files; what they held is measured again
logs/  report/
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lars_sweep.errors import DamagedFile, RunError
from lars_sweep.rundir import publish

RUN_VERSION = 1
DIRECTORIES = (
    "points",
    "claims",
    "attempts",
    "outcomes",
    "parts/outcomes",
    "parts/curves",
    "parts/layers",
    "parts/noise",
    "checkpoints",
    "workers",
    "launches",
    "orders",
    "scheduler",
    "requests/prune",
    "logs",
)


@dataclass(frozen=True, slots=True)
class RunDir:
    """An existing run directory. Absolute, so that it outlives a change of working directory."""

    path: Path
    content: Mapping[str, object]
    """plan.json."""

    @property
    def run_id(self) -> str:
        return str(self.content["run_id"])

    @property
    def sweep(self) -> str:
        return str(self.content["sweep"])

    @property
    def spec_hash(self) -> str:
        return str(self.content["spec_hash"])

    @property
    def trainer(self) -> str:
        """What the workers of this run train with: torch, analytic, noop or paced."""
        return str(self.content["trainer"])

    # ── paths
    @property
    def points(self) -> Path:
        return self.path / "points"

    @property
    def claims(self) -> Path:
        return self.path / "claims"

    @property
    def outcomes(self) -> Path:
        return self.path / "outcomes"

    @property
    def workers(self) -> Path:
        return self.path / "workers"

    @property
    def launches(self) -> Path:
        return self.path / "launches"

    @property
    def scheduler(self) -> Path:
        return self.path / "scheduler"

    @property
    def requests(self) -> Path:
        return self.path / "requests"

    @property
    def set_aside(self) -> Path:
        return self.path / "set-aside"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def report(self) -> Path:
        return self.path / "report"

    def parts(self, table: str) -> Path:
        return self.path / "parts" / table

    def outcome(self, trial_id: str) -> Path:
        return self.outcomes / f"{trial_id}.json"

    def attempt_log(self, trial_id: str, attempt: int) -> Path:
        return self.path / "attempts" / f"{trial_id}.{attempt}.jsonl"

    def checkpoints(self, trial_id: str) -> Path:
        return self.path / "checkpoints" / trial_id

    def checkpoint_dir(self, trial_id: str, attempt: int) -> Path:
        """A directory for this attempt, holding (links to) what earlier attempts left.

        An earlier attempt that still lives writes into its own directory and cannot disturb this.
        """
        mine = self.checkpoints(trial_id) / str(attempt)
        if mine.is_dir():
            return mine
        mine.mkdir(parents=True)
        for earlier in range(attempt - 1, 0, -1):
            theirs = self.checkpoints(trial_id) / str(earlier)
            if theirs.is_dir() and any(theirs.iterdir()):
                for name in publish.names(theirs):
                    with contextlib.suppress(FileNotFoundError):  # its writer may still live
                        os.link(theirs / name, mine / name)
                break
        return mine

    def drop_checkpoints(self, trial_id: str) -> None:
        """Remove what a finished trial no longer needs."""
        shutil.rmtree(self.checkpoints(trial_id), ignore_errors=True)


def create_run(path: Path, plan: Mapping[str, object]) -> RunDir:
    """Make ``path`` a run directory, or open it if it already is this sweep's.

    The plan is one file, published last and by link: of two launches at once the second finds the
    first one's plan and joins its run.

    Args:
        path: the directory; made if absent.
        plan: plan.json without ``run_version``, ``run_id`` and ``created_at``, added here; must
            have ``sweep``, ``spec_hash`` and ``trainer``.

    Raises:
        RunError: the directory holds another sweep or something else, or cannot be written.
    """
    path = path.resolve()
    if filled := re.search(r"%\d*[A-Za-z%]", str(path)):
        raise RunError(
            f"{path}: submitit and SLURM would replace {filled[0]} in paths: choose another "
            "--run-dir"
        )
    _lay_out(path, plan)
    run = open_run(path)
    if run.spec_hash != plan["spec_hash"]:
        raise RunError(
            f"{path} holds sweep {run.sweep!r} with other settings (spec hash "
            f"{run.spec_hash[:12]}, this file's is {str(plan['spec_hash'])[:12]}): choose another "
            "--run-dir, or give the file and --set values that it was launched with"
        )
    # Through JSON, as the stored ones went.
    given = json.loads(publish.to_json_bytes({name: plan.get(name) for name in _GROUND}))
    for name, meaning in _GROUND.items():
        before, now = run.content.get(name), given[name]
        if before != now:
            raise RunError(
                f"{path} was launched with other {meaning} ({_difference(before, now)}): choose "
                "another --run-dir"
            )
    return run


def _difference(before: object, now: object) -> str:
    """What changed: the names of a table's entries, whose values are hashes, else both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        names = sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n))
        return f"changed: {', '.join(names)}"
    return f"{before}, not {now}"


_OWN_NAMES = frozenset({directory.split("/")[0] for directory in DIRECTORIES} | {"plan.json"})
_GROUND = {"trainer": "trainer", "facts": "data", "model_sources": "model sources"}
"""What a sweep stands on without naming it."""


def _lay_out(path: Path, plan: Mapping[str, object]) -> None:
    """Make the directories, then publish the plan, unless it is there."""
    target = path / "plan.json"
    with publish.explained(path):
        if target.exists():
            return
        path.mkdir(parents=True, exist_ok=True)
        foreign = set(publish.names(path)) - _OWN_NAMES
        if foreign:
            raise RunError(
                f"{path} holds {min(foreign)!r} and is no run directory: choose another --run-dir"
            )
        for directory in DIRECTORIES:
            (path / directory).mkdir(parents=True, exist_ok=True)
    stamp = {
        "run_version": RUN_VERSION,
        "run_id": uuid.uuid4().hex[:8],
        "created_at": time.time(),
    }
    publish.publish_new(target, publish.to_json_bytes({**stamp, **plan}), written="plan-written")


def open_run(path: Path) -> RunDir:
    """The run in ``path``.

    Raises:
        RunError: no run directory, one of a newer lars-sweep, or one whose plan is damaged.
    """
    path = path.resolve()
    try:
        plan = publish.read_json(path / "plan.json")
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(
            f"{path} is no run directory (no plan.json in it): "
            "`lars-sweep launch SWEEP --run-dir DIR` makes one"
        ) from None
    except OSError as error:
        raise RunError(f"{path / 'plan.json'} cannot be read: {error}") from error
    except DamagedFile as error:
        raise damaged_plan(path) from error
    version = plan.get("run_version")
    if isinstance(version, int) and version != RUN_VERSION:
        raise RunError(
            f"{path}: run_version {version}, this lars-sweep reads {RUN_VERSION}: "
            "use the version that made the run"
        )
    if version != RUN_VERSION or not all(isinstance(plan.get(n), str) for n in _STAMPED):
        raise damaged_plan(path)
    return RunDir(path=path, content=plan)


_STAMPED = ("run_id", "sweep", "spec_hash", "trainer")


def damaged_plan(path: Path) -> RunError:
    """What to say if plan.json of the run in ``path`` is not whole: nothing goes without it."""
    return RunError(
        f"{path / 'plan.json'} is damaged: put a copy of it back, or launch the sweep into another "
        f"--run-dir; what was measured lies in {path / 'parts'} and {path / 'outcomes'}"
    )
