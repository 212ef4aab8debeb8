"""Writes the configuration files of one cluster from the templates in conf/."""

from __future__ import annotations

import os
import time
from pathlib import Path
from string import Template

from devcluster.settings import Settings

TEMPLATES = Path(__file__).parent / "conf"
MEMORY_CGROUP = Path("/sys/fs/cgroup/memory")


def limits_memory() -> bool:
    """Whether a job above its --mem is killed here: SLURM 22.05 needs the cgroup v1 controller."""
    return os.access(MEMORY_CGROUP / "cgroup.procs", os.W_OK)


def write(settings: Settings) -> None:
    """Writes BASE/etc/*.conf and BASE/env.sh, and makes the pretended GPUs."""
    base, etc = Path(settings.base), Path(settings.base) / "etc"
    words = _words(settings)
    names = ["slurm.conf"]
    if settings.accounting:
        names.append("slurmdbd.conf")
    if settings.gpus:
        names.append("gres.conf")
        _make_gpus(base / "dev", settings.gpus)
    if limits_memory():
        names.append("cgroup.conf")
    for name in names:
        (etc / name).write_text(_fill(name, words))
    if settings.accounting:
        (etc / "slurmdbd.conf").chmod(0o600)  # slurmdbd refuses to start otherwise
    (base / "env.sh").write_text(f"export SLURM_CONF={etc}/slurm.conf\n")


def _words(settings: Settings) -> dict[str, object]:
    port = settings.port
    words: dict[str, object] = {
        "name": settings.name,
        "base": settings.base,
        "controller_port": port,
        "accounting_port": port + 1,
        "database_port": port + 2,
        "task_plugin": "cgroup" if limits_memory() else "none",
        "max_array_size": settings.max_array_size,
        "node_timeout_s": settings.node_timeout_s,
        "first_job_id": int(time.time()) % 1_000_000 * 50 + 1,
        "cpus": settings.cpus,
        "memory_mib": settings.memory_mib,
        "gres": f"Gres=gpu:{settings.gpus}" if settings.gpus else "",
        "node_range": f"{settings.name}-[1-{settings.nodes}]",
        "last_gpu": settings.gpus - 1,
        # NodeHostname may not stand in the NodeName=DEFAULT line.
        "nodes": "\n".join(
            f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port + 3 + i}"
            for i, node in enumerate(settings.node_names)
        ),
    }
    without = "AccountingStorageType=accounting_storage/none"
    words["accounting"] = _fill("accounting.conf", words) if settings.accounting else without
    return words


def _fill(name: str, words: dict[str, object]) -> str:
    return Template((TEMPLATES / name).read_text()).substitute(words)


def _make_gpus(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for i in range(count):
        os.mknod(folder / f"gpu{i}", 0o020666, os.makedev(1, 3))
