from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from image_files import MakeTree, jpeg

from lars_sweep.data import describe_dataset, load_dataset
from lars_sweep.data.pack import pack_dataset, verify_pack
from lars_sweep.errors import DataError


def test_bytes_mode_is_the_same_data_set(make_tree: MakeTree, tmp_path: Path) -> None:
    root, out = make_tree(), tmp_path / "pack"
    told: list[tuple[str, int, int | None]] = []
    info = pack_dataset(root, out, shard_files=7, progress=lambda *args: told.append(args))
    assert told == [("packing images", done, 18) for done in (7, 14, 18)]
    assert sorted(path.name for path in out.iterdir()) == [
        "index.parquet",
        "pack.json",
        *(f"shard-{number:05d}.jpegs" for number in range(3)),
    ]
    tree, pack = load_dataset("imagenet", root), load_dataset("imagenet", out)
    assert pack.info == tree.info == info == describe_dataset("imagenet", out)
    files = sorted((root / "train").rglob("*.JPEG")) + sorted((root / "val").rglob("*.JPEG"))
    shards = b"".join((out / f"shard-{n:05d}.jpegs").read_bytes() for n in range(3))
    assert shards == b"".join(file.read_bytes() for file in files)
    chosen = np.array([11, 0, 5])
    assert np.array_equal(pack.train.images(chosen), tree.train.images(chosen))
    boxes = np.tile([5.0, 5.0, 40.0, 30.0], (3, 1))
    assert np.array_equal(pack.train.crops(chosen, boxes, 24), tree.train.crops(chosen, boxes, 24))
    verify_pack(out)


def test_resized_mode_is_another_data_set(make_tree: MakeTree, tmp_path: Path) -> None:
    root = make_tree()
    identities = {describe_dataset("imagenet", root).content_id}
    for side, quality in ((32, 90), (48, 90), (32, 60)):
        out = tmp_path / f"{side}-{quality}"
        info = pack_dataset(root, out, "resized", side=side, quality=quality)
        identities.add(info.content_id)
        data = load_dataset("imagenet", out)
        assert (data.info.image_size, data.train.sizes.tolist()) == (side, [[side, side]] * 12)
        assert data.train.images(np.array([3])).shape == (1, 3, side, side)
        verify_pack(out)
    assert len(identities) == 4


def test_an_interrupted_pack_goes_on(make_tree: MakeTree, tmp_path: Path) -> None:
    root = make_tree(train=40)
    whole = pack_dataset(root, tmp_path / "whole", "resized", side=64, shard_files=9)
    out = tmp_path / "killed"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from lars_sweep.data.pack import pack_dataset\n"
        "pack_dataset(Path(sys.argv[1]), Path(sys.argv[2]), 'resized', side=64, shard_files=9,"
        " progress=lambda *_: time.sleep(0.3))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(root), str(out)])
    deadline = time.monotonic() + 60
    while not (out / "shard-00001.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    first = (out / "shard-00000.jpegs").stat()
    assert not (out / "index.parquet").exists()
    with pytest.raises(DataError, match="unfinished"):
        load_dataset("imagenet", out)
    assert pack_dataset(root, out, "resized", side=64, shard_files=9) == whole
    assert (out / "shard-00000.jpegs").stat().st_mtime_ns == first.st_mtime_ns
    for path in (tmp_path / "whole").glob("shard-*"):
        assert (out / path.name).read_bytes() == path.read_bytes()
    assert pack_dataset(root, out, "resized", side=64, shard_files=9) == whole


def test_another_plan_in_the_same_directory_is_refused(make_tree: MakeTree, tmp_path: Path) -> None:
    root, out = make_tree(), tmp_path / "pack"
    pack_dataset(root, out)
    with pytest.raises(DataError, match=r"another kind: mode bytes, now resized.*side 256, now 32"):
        pack_dataset(root, out, "resized", side=32)
    (root / "val" / "n01" / "new.JPEG").write_bytes(jpeg(30, 30))
    with pytest.raises(DataError, match="another kind: tree"):
        pack_dataset(root, out)
    with pytest.raises(DataError, match="neither empty nor a pack"):
        pack_dataset(root, root)


@pytest.mark.parametrize(
    ("mode", "side", "quality"),
    [("bytes", 64, None), ("bytes", None, 90), ("resized", 2, 90), ("resized", 64, 101)],
)
def test_bad_options_are_refused(
    make_tree: MakeTree, tmp_path: Path, mode: str, side: int | None, quality: int | None
) -> None:
    with pytest.raises(DataError, match="data pack:"):
        pack_dataset(make_tree(), tmp_path / "out", mode, side=side, quality=quality)
    assert not (tmp_path / "out").exists()


def test_bad_files_are_refused_as_in_a_tree(make_tree: MakeTree, tmp_path: Path) -> None:
    root = make_tree()
    (root / "train" / "n02" / "n02_0.JPEG").write_bytes(b"GIF89a")
    with pytest.raises(DataError, match=r"1 of 18 files .* train/n02/n02_0\.JPEG: not a JPEG"):
        pack_dataset(root, tmp_path / "refused")
    info = pack_dataset(root, tmp_path / "allowed", max_bad_share=0.1)
    assert info.train_samples == 11


def damaged_pack(make_tree: MakeTree, tmp_path: Path) -> tuple[Path, Path]:
    out = tmp_path / "pack"
    pack_dataset(make_tree(), out)
    return out, out / "shard-00000.jpegs"


def test_a_truncated_shard_gives_both_sizes(make_tree: MakeTree, tmp_path: Path) -> None:
    out, shard = damaged_pack(make_tree, tmp_path)
    size = shard.stat().st_size
    os.truncate(shard, size - 1)
    with pytest.raises(DataError, match=f"expected {size:,} bytes, found {size - 1:,}"):
        load_dataset("imagenet", out)
    shard.unlink()
    with pytest.raises(DataError, match=r"shard-00000\.jpegs: cannot be opened"):
        load_dataset("imagenet", out)


def test_a_flipped_bit_is_found_by_verify(make_tree: MakeTree, tmp_path: Path) -> None:
    out, shard = damaged_pack(make_tree, tmp_path)
    content = bytearray(shard.read_bytes())
    content[-300] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"n03_1\.JPEG: sha256 differs"):
        verify_pack(out)
    with pytest.raises(DataError, match=r"no pack is here \(no pack\.json\)"):
        verify_pack(tmp_path)


def test_verify_as_a_command(make_tree: MakeTree, tmp_path: Path) -> None:
    out, shard = damaged_pack(make_tree, tmp_path)
    command = [sys.executable, "-m", "lars_sweep", "data", "verify", str(out)]
    sound = subprocess.run(command, capture_output=True, text=True)
    assert (sound.returncode, sound.stdout) == (0, "")
    assert f"{out}: 18 images are what was packed\n" in sound.stderr
    content = bytearray(shard.read_bytes())
    content[-300] ^= 1
    shard.write_bytes(content)
    damaged = subprocess.run(command, capture_output=True, text=True)
    assert (damaged.returncode, damaged.stdout) == (1, "")
    assert "sha256 differs from the index" in damaged.stderr.replace("\n", " ")


def test_a_damaged_index_is_named(make_tree: MakeTree, tmp_path: Path) -> None:
    out, _ = damaged_pack(make_tree, tmp_path)
    index = out / "index.parquet"
    index.write_bytes(index.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"index\.parquet: the index of the images is damaged"):
        load_dataset("imagenet", out)


def test_a_full_disk_keeps_the_whole_shards(make_tree: MakeTree, tmp_path: Path) -> None:
    root, out = make_tree(train=12), tmp_path / "pack"
    small = sum(file.stat().st_size for file in sorted((root / "train" / "n01").iterdir()))
    (root / "train" / "n02" / "n02_3.JPEG").write_bytes(jpeg(700, 900, quality=99))
    # A limit on the size of files is as real as a full disk, and needs no mount.
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from lars_sweep.data.pack import pack_dataset\n"
        "from lars_sweep.errors import DataError\n"
        "limit = int(sys.argv[3])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "try: pack_dataset(Path(sys.argv[1]), Path(sys.argv[2]), shard_files=12)\n"
        "except DataError as error: print(error)\n"
    )
    command = [sys.executable, "-c", code, str(root), str(out), str(2 * small)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"{out}: cannot be written (File too large); the shards that are whole" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == [
        "pack.json",
        "shard-00000.jpegs",
        "shard-00000.parquet",
    ]
    pack_dataset(root, out, shard_files=12)
    verify_pack(out)
