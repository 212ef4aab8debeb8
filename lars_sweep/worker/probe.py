"""``python -m lars_sweep.worker.probe``: what a job finds on its nodes, for `lars-sweep doctor`.

Every rank writes one JSON file into the probe's folder: its node, clock, GPUs, whether it sees what
rank 0 linked and renamed, and an all-reduce over all ranks.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from pathlib import Path

from lars_sweep.rundir import publish
from lars_sweep.worker.place import slurm_job_id

PATIENCE_S = 60.0


def probe(folder: Path, data_dir: str | None, dataset: str) -> dict[str, object]:
    """Look around; every finding is a plain value, an error is its text."""
    rank = int(os.environ.get("SLURM_PROCID", "0"))
    if rank == 0:
        publish.publish_new(folder / "linked", b"1")
        publish.replace(folder / "renamed", b"1")
    found: dict[str, object] = {"rank": rank, "node": socket.gethostname()}
    found["job"] = slurm_job_id()
    found["sees_link_s"] = _until(folder / "linked")
    found["sees_rename_s"] = _until(folder / "renamed")
    found["clock"] = time.time()
    found["fsync_s"] = _fsync_s(folder / f"synced-{rank}")
    found["scontrol"] = _on_path("scontrol")
    for name, look in (("world", _world), ("data", lambda: _data(data_dir, dataset))):
        try:
            found[name] = look()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def _until(path: Path) -> float | None:
    began = time.monotonic()
    while not path.exists():
        if time.monotonic() - began > PATIENCE_S:
            return None
        time.sleep(0.05)
    return time.monotonic() - began


def _fsync_s(path: Path) -> float:
    began = time.monotonic()
    publish.replace(path, b"1")
    return time.monotonic() - began


def _on_path(command: str) -> bool:
    import shutil

    return shutil.which(command) is not None


def _world() -> dict[str, object]:
    from lars_sweep.train.probe import all_reduce

    return all_reduce()


def _data(data_dir: str | None, dataset: str) -> str:
    from lars_sweep.data import describe_dataset

    return describe_dataset(dataset, Path(data_dir) if data_dir else None).content_id


def main() -> None:
    """Arguments: the folder, the data set, and where data lie (may be empty)."""
    folder, dataset, data_dir = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    found = probe(folder, data_dir or None, dataset)
    publish.replace(folder / f"rank-{found['rank']}.json", json.dumps(found).encode())
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
