"""Every error that a user can cause or mend.

    LarsSweepError            exit status 1, one readable message without traceback
    ├── SpecError             exit status 2: a sweep file, a profile or an option is wrong
    ├── DataError             a data set is missing, truncated or not what it claims to be
    ├── RunError              a run directory is absent, another sweep's, newer, full or unwritable
    │   └── DamagedFile       a file in it is cut short or of another shape
    ├── OutcomeError          an outcome table lacks columns or mixes what must not be mixed
    ├── LaunchError           workers could not be submitted
    ├── SchedulerError        SLURM did not answer; nothing follows about any job
    ├── TrainError            a trial cannot run as asked on this hardware
    ├── WorldLost             another rank of the world died or cannot be reached any more
    └── FitError              a fit was asked for what its input cannot answer

Anything else that escapes is a defect of lars-sweep and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class LarsSweepError(Exception):
    """Base of all expected errors; the message says what, where, got, allowed, and what next."""

    exit_status = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a file that a user wrote."""

    file: str
    line: int | None
    """1-based; None where the key is absent from the file."""
    key: str
    """Dotted path, as in ``space.base_lr.log``."""
    given: str
    allowed: str

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{where}: {self.key}: got {self.given}; allowed: {self.allowed}"


class SpecError(LarsSweepError):
    """A file or an option that the user wrote is wrong; carries every problem at once."""

    exit_status = 2

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems: tuple[Problem, ...] = () if isinstance(problems, str) else tuple(problems)
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, problems)))


class DataError(LarsSweepError):
    """A data set is missing, truncated, or not what it claims to be."""


class RunError(LarsSweepError):
    """A run directory cannot be used as asked."""


class DamagedFile(RunError):
    """A file of a run directory is cut short, no text, or of another shape."""

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        super().__init__(f"{path} is damaged ({what}): move it out of the run directory")


class OutcomeError(LarsSweepError):
    """An outcome table cannot be read or must not be pooled as asked."""


class LaunchError(LarsSweepError):
    """Workers could not be submitted."""


class SchedulerError(LarsSweepError):
    """The scheduler did not answer; nothing follows about any job."""


class TrainError(LarsSweepError):
    """A trial cannot run as asked on this hardware or with this model."""


class WorldLost(LarsSweepError):
    """Another rank of the world died or cannot be reached any more."""


class FitError(LarsSweepError):
    """A fit was asked for something that its input cannot answer."""
