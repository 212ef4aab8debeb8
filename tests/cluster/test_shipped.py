"""Files that are no Python are found in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

import pytest

from lars_sweep import shipped as shipped_module
from lars_sweep.shipped import Kind, shipped


@pytest.mark.parametrize("kind", ["sweeps", "slurm", "reference"])
def test_found_in_the_checkout(kind: Kind) -> None:
    assert shipped(kind).is_dir()


def test_the_wheels_own_copy_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "_shipped" / "slurm"
    copy.mkdir(parents=True)
    monkeypatch.setattr(shipped_module, "_PACKAGE", tmp_path)
    assert shipped("slurm") == copy
