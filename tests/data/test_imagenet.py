from __future__ import annotations

import io
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_files import MakeTree, jpeg
from PIL import Image

from lars_sweep.data import describe_dataset, load_dataset
from lars_sweep.data.image_tree import INDEX_NAME, index_tree
from lars_sweep.errors import DataError


def test_a_tree_is_read_as_it_lies(make_tree: MakeTree) -> None:
    root = make_tree()
    data = load_dataset("imagenet", root)
    info = data.info
    assert (info.train_samples, info.test_samples, info.num_classes) == (12, 6, 3)
    assert (info.channels, info.image_size) == (3, 256)
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    images = data.test.images(np.array([5, 0]))
    assert images.shape == (2, 3, 256, 256)
    for ours, path in zip(images, ("n03/n03_1.JPEG", "n01/n01_0.JPEG"), strict=True):
        theirs = Image.open(io.BytesIO((root / "val" / path).read_bytes())).convert("RGB")
        scaled = np.asarray(theirs.resize((256, 256), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(ours.transpose(1, 2, 0) - scaled).mean() < 0.6
    assert data.mean.shape == (3,)


def test_crops_come_from_the_file_at_its_own_size(make_tree: MakeTree) -> None:
    train = load_dataset("imagenet", make_tree()).train
    assert train.sizes[2].tolist() == [43, 87]
    boxes = np.array([[0.0, 0.0, 87.0, 43.0], [10.5, 3.0, 60.0, 33.25]])
    crops = train.crops(np.array([2, 2]), boxes, 32)
    assert crops.shape == (2, 3, 32, 32)
    assert not np.array_equal(crops[0], crops[1])
    with pytest.raises(DataError, match=r"n01_1\.JPEG: cannot be decoded: box .* is not inside"):
        train.crops(np.array([1]), np.array([[0.0, 0.0, 500.0, 10.0]]), 32)


def test_the_second_look_reads_the_index_only(
    make_tree: MakeTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_tree()
    seen: list[tuple[str, int, int | None]] = []
    info = describe_dataset("imagenet", root, progress=lambda *told: seen.append(told))
    assert seen == [("checking images", 18, 18)]
    monkeypatch.setattr(Path, "read_bytes", None)
    assert describe_dataset("imagenet", root, progress=lambda *told: seen.append(told)) == info
    assert len(seen) == 1


def test_the_identity_is_of_names_classes_and_bytes(make_tree: MakeTree) -> None:
    def identity(change: str) -> str:
        root = make_tree(change)
        file = root / "train" / "n02" / "n02_1.JPEG"
        if change == "renamed":
            file.rename(file.with_name("n02_9.JPEG"))
        elif change == "rewritten":
            file.write_bytes(jpeg(50, 50))
        elif change == "moved":
            file.rename(root / "train" / "n03" / file.name)
        elif change == "class":
            for part in ("train", "val"):
                (root / part / "n03").rename(root / part / "n04")
        return index_tree(root).info.content_id

    assert identity("first") == identity("second")
    changes = ("first copy", "renamed", "rewritten", "moved", "class")
    assert len({identity(change) for change in changes}) == 5


def test_an_added_file_is_noticed(make_tree: MakeTree) -> None:
    root = make_tree()
    before = index_tree(root).info
    shutil.copy(root / "val" / "n01" / "n01_0.JPEG", root / "val" / "n01" / "n01_7.JPEG")
    after = index_tree(root).info
    assert after.test_samples == before.test_samples + 1
    assert after.content_id != before.content_id


def test_a_read_only_tree_keeps_its_index_in_the_users_directory(
    make_tree: MakeTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_tree()
    # A folder in the index's place, for root may write anywhere.
    (root / INDEX_NAME).mkdir()
    with pytest.raises(DataError, match="index of the images is damaged"):
        index_tree(root)
    (root / INDEX_NAME).rmdir()
    real = os.replace

    def refuse(source: Path, target: Path) -> None:
        if target.parent == root:
            raise PermissionError("read-only")
        real(source, target)

    monkeypatch.setattr(Path, "replace", refuse)
    info = index_tree(root).info
    assert not (root / INDEX_NAME).exists()
    assert len(list((tmp_path / "home" / "indexes").iterdir())) == 1
    monkeypatch.setattr(Path, "read_bytes", None)
    assert index_tree(root).info == info


@pytest.mark.parametrize("part", ["train", "val"])
def test_a_missing_class_folder_is_named(make_tree: MakeTree, part: str) -> None:
    root = make_tree()
    shutil.rmtree(root / part / "n02")
    with pytest.raises(DataError, match=rf"{part} lacks the class folder n02, which .* has"):
        load_dataset("imagenet", root)


def test_an_empty_class_folder_is_named(make_tree: MakeTree) -> None:
    root = make_tree()
    for file in (root / "val" / "n03").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="val/n03: no images"):
        load_dataset("imagenet", root)


def test_a_flat_val_folder_is_explained(make_tree: MakeTree) -> None:
    root = make_tree()
    shutil.rmtree(root / "val")
    (root / "val").mkdir()
    (root / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(jpeg(20, 20))
    with pytest.raises(DataError, match="holds no class folders; move each image"):
        load_dataset("imagenet", root)


def test_no_tree_at_all_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected train/<class>/\*\.JPEG .*lars-sweep data pack"):
        load_dataset("imagenet", tmp_path / "nowhere")


def spoil(root: Path) -> None:
    cut = root / "train" / "n01" / "n01_2.JPEG"
    cut.write_bytes(cut.read_bytes()[:-50])
    (root / "val" / "n02" / "a.JPEG").write_bytes(b"\x89PNG" + bytes(50))


def test_too_many_bad_files_are_counted_named_and_refused(make_tree: MakeTree) -> None:
    root = make_tree()
    spoil(root)
    with pytest.raises(DataError) as caught:
        load_dataset("imagenet", root)
    message = str(caught.value)
    assert "2 of 19 files are no whole JPEGs" in message
    assert "train/n01/n01_2.JPEG: truncated" in message
    assert "val/n02/a.JPEG: not a JPEG file" in message
    assert "allowed are 0.10%" in message


def test_few_bad_files_are_left_out_with_a_warning(
    make_tree: MakeTree, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_tree()
    spoil(root)
    with caplog.at_level(logging.WARNING):
        index = index_tree(root, max_bad_share=0.2)
    assert (index.info.train_samples, index.info.test_samples) == (11, 6)
    assert [file.path for file in index.bad] == ["train/n01/n01_2.JPEG", "val/n02/a.JPEG"]
    assert "2 of 19 files" in caplog.text


def test_a_file_rewritten_in_place_is_noticed_when_read(make_tree: MakeTree) -> None:
    root = make_tree()
    data = load_dataset("imagenet", root)
    (root / "train" / "n01" / "n01_0.JPEG").write_bytes(jpeg(33, 33))
    with pytest.raises(DataError, match=r"n01_0\.JPEG: expected [\d,]+ bytes, found"):
        data.train.images(np.array([0]))
    (root / "train" / "n01" / "n01_0.JPEG").unlink()
    with pytest.raises(DataError, match=r"n01_0\.JPEG: cannot be read"):
        data.train.images(np.array([0]))


def test_grey_and_ink_images_are_colour_images(make_tree: MakeTree) -> None:
    root = make_tree()
    (root / "train" / "n01" / "n01_0.JPEG").write_bytes(jpeg(50, 60, mode="L"))
    (root / "train" / "n01" / "n01_1.JPEG").write_bytes(jpeg(50, 60, mode="CMYK"))
    grey, inks = load_dataset("imagenet", root).train.images(np.arange(2))
    assert np.array_equal(grey[0], grey[2])
    assert not np.array_equal(inks[0], inks[2])
