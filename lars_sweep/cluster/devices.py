"""The CUDA devices of this machine, counted without loading torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

TIMEOUT_S = 20.0


def local_gpus(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """What ``CUDA_VISIBLE_DEVICES`` may be set to, one entry per device; none without CUDA.

    A list that is set already is kept to: who shares a workstation names their devices so.
    """
    listed = _listed() if _torch_has_cuda() else 0
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if not listed or given is None:
        return tuple(map(str, range(listed)))
    names = [name.strip() for name in given.split(",")]
    # As CUDA reads it: what follows a name that is none does not count.
    return tuple(names[: next((i for i, name in enumerate(names) if name in ("", "-1")), None)])


@cache
def _listed() -> int:
    """Devices that the driver lists; 0 where there is no driver, or it fails."""
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        done = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())


def _torch_has_cuda() -> bool:
    """Whether the installed torch is not one of the builds for CPUs alone."""
    try:
        return not version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return False
