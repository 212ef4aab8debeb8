"""One checked copy of the data on a node; where that fails, the original is read."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from lars_sweep.data import describe_dataset
from lars_sweep.worker import stage
from lars_sweep.worker.stage import staged

CONTENT = describe_dataset("digits").content_id


@pytest.fixture
def original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data; the node's own places are below ``tmp_path``."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(stage, "LOOK_S", 0.02)
    folder = tmp_path / "original"
    folder.mkdir()
    (folder / "images").write_text("many")
    return folder


def test_one_rank_copies_and_the_others_wait(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path / "$SLURM_JOB_ID")
    monkeypatch.setenv("SLURM_LOCALID", "1")
    found: list[Path] = []
    other = threading.Thread(
        target=lambda: found.append(staged(original, place, "digits", CONTENT))
    )
    other.start()
    time.sleep(0.2)
    assert found == []
    monkeypatch.setenv("SLURM_LOCALID", "0")
    copy = staged(original, place, "digits", CONTENT)
    other.join(10)
    assert found == [copy]
    assert (copy.parent, (copy / "images").read_text()) == (tmp_path / "7", "many")
    assert os.listdir(copy.parent) == [copy.name], "nothing unfinished is left"


def test_only_the_data_set_of_the_run_is_copied(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stage.original(original, "digits") == original
    (original / "digits").mkdir()
    assert stage.original(original, "digits") == original / "digits"
    monkeypatch.setenv("LARS_SWEEP_DATA", str(original))
    assert stage.original(None, "digits") == original / "digits", "of the user's own place too"
    assert stage.original(None, "cifar10") is None


@pytest.mark.parametrize("trouble", ["another content", "no place", "no variable"])
def test_without_a_copy_every_rank_reads_the_original(
    original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    place = {"no place": str(tmp_path / "file/stage"), "no variable": "$NOT_SET_HERE"}
    content = "0" * 16 if trouble == "another content" else CONTENT
    for rank in ("0", "1"):
        monkeypatch.setenv("SLURM_LOCALID", rank)
        where = place.get(trouble, str(tmp_path / "stage"))
        assert staged(original, where, "digits", content) == original
    assert not list(tmp_path.glob("stage/*"))
