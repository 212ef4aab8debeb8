"""One checked copy of the data on a node; where that fails, the original is read."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from pathlib import Path

import pytest
from packkit import make_pack
from runkit import in_parallel

from lars_sweep.data import load_dataset
from lars_sweep.data.fashion_mnist import DEBIAN
from lars_sweep.data.registry import not_of
from lars_sweep.worker import stage
from lars_sweep.worker.stage import staged

NAME = "imagenet"
PACK = ["index.parquet", "pack.json", "shard-00000.jpegs"]


@pytest.fixture
def content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The content id of a data set in ``tmp_path/data``; the node's own places are beside it."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr(stage, "LOOK_S", 0.02)
    return make_pack(tmp_path / "data").content_id


@pytest.fixture
def original(tmp_path: Path, content: str) -> Path:
    folder = stage.original(tmp_path / "data", NAME)
    assert folder == tmp_path / "data/imagenet"
    return folder


def test_one_rank_copies_and_the_others_wait(
    original: Path, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path / "$SLURM_JOB_ID")
    monkeypatch.setenv("SLURM_LOCALID", "1")
    found: list[Path] = []
    other = threading.Thread(target=lambda: found.append(staged(original, place, NAME, content)))
    other.start()
    time.sleep(0.2)
    assert found == []
    monkeypatch.setenv("SLURM_LOCALID", "0")
    copy = staged(original, place, NAME, content)
    other.join(10)
    assert found == [copy]
    assert (copy.parent, sorted(os.listdir(copy))) == (tmp_path / "7", PACK), "and no archive"
    left = sorted(os.listdir(copy.parent))
    assert left == [copy.name, f"{copy.name}.lock"], "nothing unfinished"


def _stage(original: Path, place: str, content: str, copies: Path) -> None:
    make = stage._make

    def counted(*arguments: object) -> None:
        (copies / str(os.getpid())).touch()
        make(*arguments)  # type: ignore[arg-type]

    stage._make = counted
    staged(original, place, NAME, content)


def test_jobs_of_a_node_that_start_together_make_one_copy(
    original: Path, content: str, tmp_path: Path
) -> None:
    (tmp_path / "copies").mkdir()
    arguments = (original, str(tmp_path / "node"), content, tmp_path / "copies")
    in_parallel(_stage, [arguments] * 3)
    assert len(os.listdir(tmp_path / "copies")) == 1


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_damaged_copy_is_made_anew(
    original: Path, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    copy = staged(original, str(tmp_path / "node"), NAME, content)
    shard = copy / PACK[-1]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    monkeypatch.setenv("SLURM_LOCALID", rank)
    if rank == "1":
        monkeypatch.setattr(stage, "PATIENCE_S", 0.1)
        assert staged(original, str(tmp_path / "node"), NAME, content) == original, "not that one"
    else:
        assert staged(original, str(tmp_path / "node"), NAME, content) == copy
        assert shard.read_bytes() == whole


def test_only_what_the_data_set_reads_is_copied(
    tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    (data / "digits").mkdir()
    for name in ("digits", "synthetic:image_size=64", "mine:data"):
        assert stage.original(data, name) is None, "it reads no file of the user's"
    monkeypatch.setenv("LARS_SWEEP_DATA", str(data))
    assert stage.original(None, NAME) == data / NAME, "of the user's own place too"
    assert stage.original(None, "cifar10") is None
    # The user may have named the very folder, in which other things lie too.
    (data / NAME / "other").mkdir()
    assert stage.original(data / NAME, NAME) == data / NAME
    copy = staged(data / NAME, str(tmp_path / "node"), NAME, content)
    assert sorted(os.listdir(copy)) == PACK


def test_the_tree_and_the_files_of_other_sets_are_copied(tmp_path: Path, content: str) -> None:
    tree = tmp_path / "data-tree"
    assert load_dataset(NAME, tree).info.content_id == content
    copy = staged(tree, str(tmp_path / "node"), NAME, content)
    assert sorted(os.listdir(copy)) == [".lars-sweep-index.parquet", "train", "val"]
    cifar = ["cifar-10-batches-bin", "data_batch_1.bin", "test_batch", "cifar-100-binary", "train"]
    assert not_of("cifar10", cifar) == {"cifar-100-binary", "train"}
    assert not_of("cifar100", cifar) == set(cifar[:3])


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="apt-get install dataset-fashion-mnist")
def test_fashion_mnist_is_staged(tmp_path: Path) -> None:
    content = load_dataset("fashion-mnist").info.content_id
    assert staged(DEBIAN, str(tmp_path), "fashion-mnist", content) != DEBIAN


@pytest.mark.parametrize("trouble", ["another content", "no place", "no variable"])
def test_without_a_copy_every_rank_reads_the_original(
    original: Path, content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    place = {"no place": str(tmp_path / "file/stage"), "no variable": "$NOT_SET_HERE"}
    wanted = "0" * 16 if trouble == "another content" else content
    for rank in ("0", "1"):
        monkeypatch.setenv("SLURM_LOCALID", rank)
        where = place.get(trouble, str(tmp_path / "stage"))
        assert staged(original, where, NAME, wanted) == original
    assert not [path for path in tmp_path.glob("stage/*") if path.suffix != ".lock"]
