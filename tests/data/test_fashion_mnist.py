from __future__ import annotations

import gzip
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from lars_sweep.data import fashion_mnist, load_dataset
from lars_sweep.data.download import get_dataset
from lars_sweep.errors import DataError

debian = pytest.mark.skipif(
    not fashion_mnist.DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist"
)


def idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four IDX files of the format, with 30 and 20 images, taken for the real ones."""
    rng = np.random.default_rng(0)
    directory = tmp_path / "files of mine"
    directory.mkdir()
    sums = {}
    for part, samples in (("train", 30), ("t10k", 20)):
        images = rng.integers(0, 256, (samples, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, samples, dtype=np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx(array)
            (directory / f"{part}-{name}-ubyte.gz").write_bytes(gzip.compress(content))
            sums[f"{part}-{name}-ubyte"] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(fashion_mnist, "SHA256", sums)
    monkeypatch.setattr(fashion_mnist, "SAMPLES", {"train": 30, "t10k": 20})
    monkeypatch.setattr(fashion_mnist, "DEBIAN", tmp_path / "no such package")
    monkeypatch.setenv("LARS_SWEEP_DATA", str(tmp_path / "home"))
    return directory


@debian
def test_debians_files_are_the_published_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARS_SWEEP_DATA", str(tmp_path))
    data = load_dataset("fashion-mnist")
    assert data.info.content_id == "c8c391dec167a365"
    assert (data.info.train_samples, data.info.test_samples) == (60_000, 10_000)
    assert set(np.bincount(data.train.labels).tolist()) == {6000}
    # The published mean and standard deviation, 0.2860 and 0.3530 of full scale.
    assert data.mean[0] / 255 == pytest.approx(0.2860, abs=5e-5)
    assert data.std[0] / 255 == pytest.approx(0.3530, abs=5e-5)


def test_packed_and_raw_files_and_a_subfolder_give_the_same(small: Path) -> None:
    packed = load_dataset("fashion-mnist", small)
    file = small / "train-images-idx3-ubyte.gz"
    raw = gzip.decompress(file.read_bytes())
    file.with_suffix("").write_bytes(raw)
    file.unlink()
    small.rename(small.parent / "fashion-mnist")
    assert load_dataset("fashion-mnist", small.parent).info == packed.info
    assert np.array_equal(
        packed.train.images(np.array([3])).ravel(),
        np.frombuffer(raw, np.uint8)[16 + 3 * 784 : 16 + 4 * 784],
    )


def test_no_files_anywhere_names_the_three_ways(small: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset("fashion-mnist")
    message = str(caught.value)
    for way in ("apt-get install", "lars-sweep data get fashion-mnist", "--data-dir DIR"):
        assert way in message
    # A directory that is named is the only place looked at.
    with pytest.raises(DataError, match="elsewhere"):
        load_dataset("fashion-mnist", tmp_path / "elsewhere")


def test_a_missing_file_is_named(small: Path) -> None:
    (small / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="lacks t10k-labels-idx1-ubyte or t10k-labels-idx1"):
        load_dataset("fashion-mnist", small)


def test_a_truncated_gzip_is_named(small: Path) -> None:
    file = small / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: .*truncated or corrupt"):
        load_dataset("fashion-mnist", small)


def test_a_truncated_raw_file_gives_expected_and_found_size(small: Path) -> None:
    content = idx(np.zeros((30, 28, 28), dtype=np.uint8))
    (small / "train-images-idx3-ubyte").write_bytes(content[:-7])
    with pytest.raises(DataError, match=r"expected .* 23,536 bytes.*found 23,529 bytes"):
        load_dataset("fashion-mnist", small)


def test_plain_mnist_under_the_same_names_is_refused(small: Path) -> None:
    other = idx(np.zeros((30, 28, 28), dtype=np.uint8))
    (small / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(other))
    with pytest.raises(DataError, match="not a file of fashion-mnist"):
        load_dataset("fashion-mnist", small)


@pytest.fixture
def server(small: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=small)) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()
        thread.join()


def test_download_is_found_by_load(server: str, small: Path, tmp_path: Path) -> None:
    seen: dict[str, tuple[int, int | None]] = {}

    def progress(what: str, done: int, total: int | None) -> None:
        seen[what] = (done, total)

    target = get_dataset("fashion-mnist", progress=progress, url=server)
    assert target == tmp_path / "home" / "fashion-mnist"
    assert load_dataset("fashion-mnist").info == load_dataset("fashion-mnist", small).info
    sizes = {path.name: path.stat().st_size for path in small.iterdir()}
    assert seen == {name: (size, size) for name, size in sizes.items()}
    # Again: nothing is transferred; a damaged file is.
    seen.clear()
    (target / "t10k-labels-idx1-ubyte.gz").write_bytes(b"half")
    get_dataset("fashion-mnist", progress=progress, url=server)
    assert list(seen) == ["t10k-labels-idx1-ubyte.gz"]
    assert sorted(path.name for path in target.iterdir()) == sorted(sizes)


def test_wrong_content_from_a_server_is_not_kept(server: str, small: Path, tmp_path: Path) -> None:
    (small / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"not it"))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: expected content of sha256"):
        get_dataset("fashion-mnist", tmp_path / "new", url=server)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["train-images-idx3-ubyte.gz"]


def test_no_connection_says_what_else_to_do(small: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"download failed.*apt-get install"):
        get_dataset("fashion-mnist", tmp_path / "new", url="http://127.0.0.1:9/")


def test_a_directory_that_cannot_be_made_is_named(small: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written.*--directory"):
        get_dataset("fashion-mnist", tmp_path / "file" / "below")


def test_only_fashion_mnist_is_downloaded() -> None:
    with pytest.raises(DataError, match="got 'imagenet'"):
        get_dataset("imagenet")
