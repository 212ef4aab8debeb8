"""Which code an outcome was made by."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import lars_sweep
from lars_sweep.worker.provenance import git_commit


def _git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=n", "-c", "user.email=e@example.org")
    subprocess.run(["git", "-C", root, *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package seems to be imported from here."""
    (tmp_path / "lars_sweep").mkdir()
    (tmp_path / "lars_sweep" / "__init__.py").touch()
    monkeypatch.setattr(lars_sweep, "__file__", str(tmp_path / "lars_sweep" / "__init__.py"))
    return tmp_path


def test_an_installed_package_has_no_commit(checkout: Path) -> None:
    assert git_commit() is None


def test_a_checkout_without_commits_has_none(checkout: Path) -> None:
    _git(checkout, "init")
    assert git_commit() is None


def test_a_changed_checkout_is_marked(checkout: Path) -> None:
    _git(checkout, "init")
    _git(checkout, "add", ".")
    _git(checkout, "commit", "-m", "x")
    clean = git_commit()
    assert clean is not None
    assert re.fullmatch("[0-9a-f]{40}", clean)
    (checkout / "notes").touch()  # untracked files are no change
    assert git_commit() == clean
    (checkout / "lars_sweep" / "__init__.py").write_text("changed = 1")
    assert git_commit() == clean + "+"
