"""``doctor --profile``: what the cluster says of itself, and a probe on two of its nodes."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lars_sweep.cluster.jobs import JobState
from lars_sweep.cluster.layout import worker_layout
from lars_sweep.cluster.profile import Profile
from lars_sweep.cluster.reasons import explain
from lars_sweep.cluster.scheduler import configuration, query_jobs
from lars_sweep.dispatch.check import Check
from lars_sweep.dispatch.probe_folder import probe_folder
from lars_sweep.dispatch.slurm import WorkerExecutor, cancel_arrays
from lars_sweep.errors import LarsSweepError

PROBE_S = 600.0
"""How long the probe may wait in the queue and run."""
CLOCK_S = 2.0
"""Clocks further apart than this spoil times in logs and reports."""
FSYNC_S = 1.0
"""A claim waits for two of these; slower ones are felt between trials."""
TIME_LIMIT_MIN = 5


def check_cluster(
    profile: Profile, directory: Path, data_dir: Path | None, dataset: str
) -> Iterator[Check]:
    """Checks of a SLURM profile: the controller's configuration, then a job on two nodes."""
    try:
        settings = configuration()
    except LarsSweepError as error:
        yield Check(name="scheduler", ok=False, found=str(error), advice="run on a login node")
        return
    yield from _configured(profile, settings)
    yield from _probed(profile, directory, data_dir, dataset)


def _configured(profile: Profile, settings: Mapping[str, str]) -> Iterator[Check]:
    version = settings.get("SLURM_VERSION", "unknown")
    yield Check(name="scheduler", ok=True, found=f"SLURM {version}")
    accounting = "none" not in settings.get("AccountingStorageType", "none")
    yield Check(
        name="accounting",
        ok=True,
        found="sacct answers" if accounting else "none: squeue only",
        advice="" if accounting else "exit statuses come from logs",
    )
    size = int(settings.get("MaxArraySize", "1001"))
    enough = size > profile.successors
    yield Check(
        name="MaxArraySize",
        ok=enough,
        found=str(size),
        advice="" if enough else f"at most {size} jobs follow each other: lower `successors`",
        needed=False,
    )
    told = "preempt_send_user_signal" in settings.get("SlurmctldParameters", "")
    yield Check(
        name="preemption",
        ok=told or profile.preemption.signal == "TERM",
        found="sends the job's own signal" if told else "sends SIGTERM only",
        advice="" if told else 'set preemption.signal = "TERM"',
        needed=False,
    )


def _probed(
    profile: Profile, directory: Path, data_dir: Path | None, dataset: str
) -> Iterator[Check]:
    with probe_folder(directory) as folder:
        checks = _probe(profile, folder, data_dir, dataset)
        if all(check.ok for check in checks):
            shutil.rmtree(folder)  # else its log may say more
    yield from checks


def _probe(profile: Profile, folder: Path, data_dir: Path | None, dataset: str) -> list[Check]:
    nodes = max(2, profile.job.nodes)
    shape = profile.model_copy(
        update={
            "job": profile.job.model_copy(
                update={"nodes": nodes, "time_limit_min": TIME_LIMIT_MIN}
            ),
            "preemption": profile.preemption.model_copy(update={"notice_s": 30}),
            "workers_per_gpu": 1,  # NCCL takes no two ranks of a world on one GPU
        }
    )
    executor = WorkerExecutor(folder, shape)
    executor.prepare(folder, tasks=1, name="lars-doctor", after=None, exclude="")
    words = [str(folder), dataset, "" if data_dir is None else str(data_dir.resolve())]
    command = f"{executor.python} -u -m lars_sweep.worker.probe {shlex.join(words)}"
    try:
        array = executor.send(command)
    except LarsSweepError as error:
        shutil.rmtree(folder)
        return [Check(name="probe", ok=False, found=str(error), advice="mend the profile")]
    try:
        return list(_judged(shape, folder, array, dataset))
    finally:
        cancel_arrays([array])


def _judged(profile: Profile, folder: Path, array: str, dataset: str) -> Iterator[Check]:
    ranks = worker_layout(profile).ranks
    started = time.time()
    until = time.monotonic() + PROBE_S
    files: list[Path] = []
    state = None
    while time.monotonic() < until and len(files) < ranks:
        files = sorted(folder.glob("rank-*.json"))
        time.sleep(0.5)
        if time.time() - started > 5:
            started = time.time()
            state = query_jobs([f"{array}_0"])[f"{array}_0"]
            if not state.state.live or explain(state.reason).never:
                break
    files = sorted(folder.glob("rank-*.json"))  # some may have come since the last look
    found: list[dict[str, Any]] = [json.loads(path.read_bytes()) for path in files]
    if len(found) < ranks:
        yield _unanswered(len(found), ranks, folder, state)
        return
    hosts = sorted({str(rank["node"]) for rank in found})
    yield Check(name="probe", ok=True, found=f"{ranks} ranks on {', '.join(hosts)}")
    yield from _files(found)
    yield _data(found, dataset)
    yield from _worlds(profile, found)


def _unanswered(answers: int, ranks: int, folder: Path, state: JobState | None) -> Check:
    why, advice = "no state", f"see the log in {folder}"
    if state is not None:
        told = explain(state.reason)
        why = f"{state.state} {state.reason}: {told.meaning}"
        advice = told.action if state.state.live and told.action else advice
    found = f"{answers} of {ranks} ranks answered; job: {why}"
    return Check(name="probe", ok=False, found=found, advice=advice)


def _data(found: list[dict[str, Any]], dataset: str) -> Check:
    """A probe tells a content id, or an error, which has a colon."""
    told = sorted({str(rank["data"]) for rank in found})
    broken = [text for text in told if ":" in text]
    right = len(told) == 1 and not broken
    advice = (
        "" if right else f"put {dataset} where all nodes see it, and name the place: --data-dir"
    )
    return Check(
        name=f"{dataset} in jobs", ok=right, found=broken[0] if broken else ", ".join(told),
        advice=advice,
    )  # fmt: skip


def _files(found: list[dict[str, Any]]) -> Iterator[Check]:
    for name, key in (("links seen", "sees_link_s"), ("renames seen", "sees_rename_s")):
        late = [rank[key] for rank in found]
        seen = all(value is not None for value in late)
        yield Check(
            name=name,
            ok=seen,
            found=f"within {max(late):.1f} s on all nodes" if seen else "not within 60 s",
            advice="" if seen else "choose a file system that all nodes share",
        )
    clocks = [float(rank["clock"]) for rank in found]
    skew = max(clocks) - min(clocks) - max(float(rank["sees_rename_s"] or 0) for rank in found)
    yield Check(
        name="clocks",
        ok=skew < CLOCK_S,
        found=f"at most {max(0.0, skew):.1f} s apart",
        advice="" if skew < CLOCK_S else "tell the administrators: NTP",
        needed=False,
    )
    tools = all(rank["scontrol"] for rank in found)
    yield Check(
        name="SLURM in jobs", ok=True,
        found="scontrol is there: the last of a worker's jobs requeues itself" if tools
        else "no scontrol: successors do all",
    )  # fmt: skip
    slow = max(float(rank["fsync_s"]) for rank in found)
    yield Check(
        name="fsync", ok=slow < FSYNC_S, found=f"at most {1000 * slow:,.0f} ms",
        advice="" if slow < FSYNC_S else "every claim waits for one: choose a faster file system",
        needed=False,
    )  # fmt: skip


def _worlds(profile: Profile, found: list[dict[str, Any]]) -> Iterator[Check]:
    broken = [str(rank["world"]) for rank in found if not isinstance(rank["world"], dict)]
    if broken:
        yield Check(
            name="all-reduce", ok=False, found=broken[0],
            advice="communication.interface names the network that nodes share",
        )  # fmt: skip
        return
    worlds = [rank["world"] for rank in found]
    right = all(world["right"] for world in worlds)
    slowest = min(world["mib_per_s"] for world in worlds)
    yield Check(name="all-reduce", ok=right, found=f"{slowest:,.0f} MiB/s over all ranks")
    wanted, gpus = profile.job.gpus_per_node, {world["gpus"] for world in worlds}
    yield Check(
        name="GPUs per node",
        ok=gpus == {wanted},
        found=", ".join(map(str, sorted(gpus))),
        advice="" if gpus == {wanted} else f"the profile says {wanted}; is torch built for CUDA?",
    )
