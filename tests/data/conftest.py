from __future__ import annotations

from pathlib import Path

import pytest
from image_files import MakeTree, jpeg


@pytest.fixture
def make_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeTree:
    """Write an ImageNet-like tree: files of different sizes, two parts, class folders."""
    monkeypatch.setenv("LARS_SWEEP_DATA", str(tmp_path / "home"))

    def make(
        name: str = "tree", classes: tuple[str, ...] = ("n01", "n02", "n03"), train: int = 4
    ) -> Path:
        root = tmp_path / name
        seed = 0
        for part, count in (("train", train), ("val", 2)):
            for folder in classes:
                (root / part / folder).mkdir(parents=True)
                for number in range(count):
                    seed += 1
                    content = jpeg(40 + seed, 90 - seed % 50, seed)
                    (root / part / folder / f"{folder}_{number}.JPEG").write_bytes(content)
        return root

    return make
