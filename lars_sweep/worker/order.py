"""What a worker is told when it starts; everything else it finds in the run directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrder:
    """The whole contract between a submitted job and the code that it runs: plain values."""

    run: Path
    executor: str
    """local or slurm."""
    data_dir: Path | None = None
    threads: int | None = None
    """CPU threads per rank; None: the library's choice."""
    time_limit_s: float | None = None
    """Wall-clock seconds until the job is killed; the worker stops a little earlier."""
    checkpoint_every_s: float = 30.0
    import_path: tuple[str, ...] = ()
    """Directories from which the user's own modules are imported."""
