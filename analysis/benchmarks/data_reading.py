"""Images per second from files to arrays: folder tree, packs, Pillow per sample, the bare decoder.

    python analysis/benchmarks/data_reading.py [--images 1500] [--seconds 200] [--quick]

Every pass reads all images once, in an order of its own, from files that the page cache has
forgotten (posix_fadvise DONTNEED; as root with --drop-caches all caches of the machine, directory
entries too), to 256 × 256 pixels:

    tree       lars_sweep from the folder tree
    bytes      from a pack that keeps the files
    resized    from a pack of files resized to 256 × 256
    pillow     a Dataset that opens, scales, crops and flips with Pillow, in DataLoader workers
    bare …     the same decoder and resize in a pool of threads, over files held in memory
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generated_images import make_tree
from measuring import Limit, arguments, begin, finish, spread, surroundings
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lars_sweep.data import load_dataset
from lars_sweep.data.jpeg import decode_square
from lars_sweep.data.pack import pack_dataset

SIDE, CROP, BATCH = 256, 224, 256
Pass = Callable[[np.random.Generator], int]
RATIOS = {
    "bytes over tree": ("bytes", "tree", 1.2),
    "resized over pillow": ("resized", "pillow", 3.0),
    "bytes over bare bytes": ("bytes", "bare bytes", 0.85),
    "resized over bare resized": ("resized", "bare resized", 0.85),
}
"""Name → the images/s of one pass over those of another, and how much it must be."""


def forget(root: Path, drop: bool) -> None:
    """Let the page cache drop the files below ``root``."""
    for path in root.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
    if drop:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")


def from_dataset(directory: Path, numbers: np.random.Generator) -> int:
    source = load_dataset("imagenet", directory).train
    order = numbers.permutation(len(source.labels))
    for start in range(0, len(order), BATCH):
        source.images(order[start : start + BATCH])
    return len(order)


class PillowFiles(Dataset[Tensor]):
    def __init__(self, root: Path) -> None:
        self._paths = sorted(map(str, root.glob("train/*/*.JPEG")))

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        with Image.open(self._paths[index]) as file:
            image = file.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        left, top, flip = torch.randint(SIDE - CROP + 1, (3,)).tolist()
        image = image.crop((left, top, left + CROP, top + CROP))
        if flip % 2:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def with_pillow(root: Path, workers: int, numbers: np.random.Generator) -> int:
    files = PillowFiles(root)
    for _ in DataLoader(files, BATCH, shuffle=True, num_workers=workers):
        pass
    return len(files)


def bare(contents: list[bytes], pool: ThreadPoolExecutor, numbers: np.random.Generator) -> int:
    order = numbers.permutation(len(contents))
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        out = np.empty((len(chosen), SIDE, SIDE, 3), dtype=np.uint8)

        def decode(position: int, out: Any = out, chosen: Any = chosen) -> None:
            decode_square(contents[chosen[position]], SIDE, out[position])

        list(pool.map(decode, range(len(chosen))))
    return len(order)


def packed_contents(pack: Path) -> list[bytes]:
    """The training files of a pack, end to end in its shards."""
    source = load_dataset("imagenet", pack).train
    return [source._reader.read(int(row)) for row in source._rows]  # type: ignore[attr-defined]


def passes(root: Path, threads: int, pool: ThreadPoolExecutor) -> dict[str, tuple[Path, Pass]]:
    """Name → the files to forget before it, and the pass itself."""
    tree, kept, resized = root / "tree", root / "bytes", root / "resized"
    return {
        "tree": (tree, partial(from_dataset, tree)),
        "bytes": (kept, partial(from_dataset, kept)),
        "resized": (resized, partial(from_dataset, resized)),
        "pillow": (tree, partial(with_pillow, tree, threads)),
        "bare bytes": (root / "none", partial(bare, packed_contents(kept), pool)),
        "bare resized": (root / "none", partial(bare, packed_contents(resized), pool)),
    }


def measure(root: Path, threads: int, seconds: float, drop: bool) -> dict[str, list[float]]:
    numbers = np.random.default_rng(1)
    end, rates = time.monotonic() + seconds, {}
    with ThreadPoolExecutor(threads) as pool:
        todo = passes(root, threads, pool)
        rates = {name: [] for name in todo}
        while not rates["tree"] or time.monotonic() < end:
            for number in numbers.permutation(len(todo)):
                name, (files, read) = list(todo.items())[number]
                forget(files, drop)
                start = time.perf_counter()
                count = read(numbers)
                rates[name].append(count / (time.perf_counter() - start))
    return rates


def main() -> None:
    parser = arguments(__doc__, seconds=200)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--drop-caches", action="store_true", help="of the whole machine (root)")
    parser.add_argument("--scratch", type=Path, help="where the images lie meanwhile")
    options = parser.parse_args()
    device = begin(options)
    images = 100 if options.quick else options.images
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        root = Path(scratch)
        tree = make_tree(root / "tree", images)
        kept = pack_dataset(tree, root / "bytes")
        pack_dataset(tree, root / "resized", "resized", side=SIDE)
        assert load_dataset("imagenet", tree).info.content_id == kept.content_id
        os.sync()
        rates = measure(
            root, options.threads, 0 if options.quick else options.seconds, options.drop_caches
        )
        size = sum(path.stat().st_size for path in tree.rglob("*.JPEG"))
    rows = {name: spread(values) for name, values in rates.items()}
    ratios = {
        name: round(rows[a]["median"] / rows[b]["median"], 3) for name, (a, b, _) in RATIOS.items()
    }
    result = surroundings(device, ("torch", "numpy", "simplejpeg", "pillow")) | {
        "images": images,
        "mean_kb": round(size / 1000 / (images + max(10, images // 10)), 1),
        "forgotten": "all caches" if options.drop_caches else "pages of the files",
        "images_per_s": rows,
        "ratios_of_median": ratios,
    }
    limits = [Limit(name, ratios[name], at_least=least) for name, (_, _, least) in RATIOS.items()]
    finish(options, __file__, result, limits)


if __name__ == "__main__":
    main()
