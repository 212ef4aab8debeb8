"""What a worker is told when it starts; everything else it finds in the run directory."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lars_sweep.cluster.profile import PreemptionSection, RetrySection
from lars_sweep.rundir import publish
from lars_sweep.rundir.records import read_record


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
    workers_per_gpu: int = 1
    """Above 1, each rank is a worker of its own."""
    stage: str | None = None
    """Where each node keeps a copy of the data; None: data are read where they are."""
    canary: bool = False
    """Only try the largest setting out."""
    preemption: PreemptionSection = field(default_factory=PreemptionSection)
    retry: RetrySection = field(default_factory=RetrySection)

    def save(self, path: Path) -> None:
        """Write the order for a job to read."""
        content = asdict(replace(self, run=str(self.run), data_dir=_text(self.data_dir)))  # type: ignore[arg-type]
        content["preemption"] = self.preemption.model_dump()
        content["retry"] = self.retry.model_dump()
        publish.replace(path, publish.to_json_bytes(content))

    @staticmethod
    def load(path: Path) -> WorkOrder:
        """Read what `save` wrote.

        Raises:
            DamagedFile: it is not whole.
        """
        return read_record(path, WorkOrder)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
