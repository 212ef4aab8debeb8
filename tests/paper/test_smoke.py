"""Every sweep of the paper trains: its true network, input size and augmentation, two steps."""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SWEEPS = sorted((Path(__file__).parents[2] / "sweeps" / "paper").glob("*.toml"))
CLASSES, TRAIN, VAL = 8, 4, 2


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A folder tree like ImageNet's, with JPEGs of several shapes, one of them grey."""
    root = tmp_path_factory.mktemp("imagenet")
    numbers = np.random.default_rng(0)
    for part, count in (("train", TRAIN), ("val", VAL)):
        for label in range(CLASSES):
            folder = root / part / f"n{label:08d}"
            folder.mkdir(parents=True)
            for i in range(count):
                height, width = numbers.integers(260, 420, size=2)
                pixels = numbers.integers(0, 256, size=(height // 8, width // 8, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).resize((int(width), int(height)))
                if label == 0 and i == 0:
                    image = image.convert("L")
                image.save(folder / f"image_{i}.JPEG")
    return root


def test_there_are_sweeps_for_every_table():
    names = " ".join(sweep.stem for sweep in SWEEPS)
    for table in ("1a", "1b", "2", "3a", "3b", "4", "5a", "5b", "5c", "6"):
        assert f"table{table}" in names


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.stem)
def test_two_steps_of_everything(sweep, tree, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lars_sweep", "launch", sweep, "--smoke", "--data-dir", tree],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert re.split(r"\s{2,}", head)[:5] == [
        "model", "optimizer", "augmentation", "status", "steps",
    ]  # fmt: skip
    assert rows
    for row in rows:
        cells = re.split(r"\s{2,}", row.strip())
        assert cells[3:5] == ["ok", "2"], row
        # Two steps at LR 0.0001 leave the network where it began: near log(classes), with logits
        # of about 1 at most. Evaluations with half-initialised statistics gave 336.
        assert abs(float(cells[5]) - math.log(CLASSES)) < 1.5, row
    assert not list(tmp_path.iterdir()), "a smoke run leaves nothing behind"
