"""Room for runs: what the file system has left, and the user's quota, which it does not tell."""

from __future__ import annotations

import getpass
import math
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lars_sweep.dispatch.check import Check

LEAST_GIB = 1.0
LEAST_FILES = 10_000
"""Room below which a sweep is likely to end at the quota."""
_PATIENCE_S = 10
_COLUMNS = 9
"""File system; KiB used, quota, limit, grace; files used, quota, limit, grace."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What a user has and may have on one file system; infinite where there is no limit."""

    kib: float
    kib_limit: float
    files: float
    files_limit: float

    @property
    def enough(self) -> bool:
        """Whether there is room for a sweep."""
        room = (self.kib_limit - self.kib) / 2**20
        return room >= LEAST_GIB and self.files_limit - self.files >= LEAST_FILES

    def __str__(self) -> str:
        size = "" if math.isinf(self.kib_limit) else f" of {self.kib_limit / 2**20:,.1f}"
        count = "" if math.isinf(self.files_limit) else f" of {self.files_limit:,.0f}"
        return f"{self.kib / 2**20:,.1f}{size} GiB, {self.files:,.0f}{count} files"


def check_space(directory: Path) -> Check:
    """Free space and inodes of the file system that ``directory`` is, or will be, on."""
    status = os.statvfs(_existing(directory))
    free = status.f_bavail * status.f_frsize / 2**30
    return Check(
        name="free space",
        ok=free >= LEAST_GIB,
        found=f"{free:.1f} GiB, {status.f_favail:,} inodes",
        advice="" if free >= LEAST_GIB else "free some, or choose another directory",
    )


def check_quota(directory: Path) -> Check:
    """The quota of this user below ``directory``, from Lustre's ``lfs`` or from ``quota``."""
    existing = _existing(directory)
    mount = next(p for p in (existing, *existing.parents) if p.is_mount())
    commands = (
        ["lfs", "quota", "-q", "-u", getpass.getuser(), str(mount)],
        ["quota", "-u", "-w", "-p", "-f", str(mount)],
    )
    for command in commands:
        found = parse_quota(_output(command))
        if found is not None:
            advice = "" if found.enough else "free some, ask for more, or choose another directory"
            return Check(name="quota", ok=found.enough, found=str(found), advice=advice)
    told = "none, or none that `lfs quota` or `quota` tells"
    return Check(name="quota", ok=True, found=told, needed=False)


def parse_quota(text: str) -> Quota | None:
    """The first file system in the output of ``lfs quota -q`` or ``quota -w -p``; None: in none.

    A number with a star is over its quota; a limit of 0 is none. The soft limit counts: past it,
    writing ends after a grace time.
    """
    words = text.split()
    # A long name may stand on a line of its own, so rows are found by their numbers.
    for start in range(1, len(words) - _COLUMNS + 2):
        row = words[start : start + _COLUMNS - 1]
        numbers = [word.rstrip("*") for word in (*row[:3], *row[4:7])]
        if all(number.isdigit() for number in numbers):
            kib, soft, hard, files, files_soft, files_hard = map(float, numbers)
            return Quota(kib, _limit(soft, hard), files, _limit(files_soft, files_hard))
    return None


def _existing(directory: Path) -> Path:
    """The directory, or the nearest above it that is there already."""
    return next(p for p in (directory.resolve(), *directory.resolve().parents) if p.exists())


def _limit(*limits: float) -> float:
    return min((limit for limit in limits if limit > 0), default=math.inf)


def _output(command: list[str]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
