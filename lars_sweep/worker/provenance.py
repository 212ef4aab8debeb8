"""Which code a worker runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import lars_sweep


def git_commit() -> str | None:
    """Commit of the checkout that this package is imported from, ``+`` appended if it was changed.

    None for an installed package.
    """
    root = Path(lars_sweep.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True, timeout=10
    )
    return done.stdout.strip()
