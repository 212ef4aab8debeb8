"""A model and a data set of the user's own, in a module outside the package, through the CLI."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = """
import numpy as np
import torch


def data():
    rng = np.random.default_rng(7)
    labels = np.arange(240) % 3
    images = rng.integers(0, 40, (240, 1, 6, 6)) + 80 * labels[:, None, None, None]
    images = images.astype(np.uint8)
    return images[:180], labels[:180], images[180:], labels[180:]


def network(num_classes, in_channels, image_size):
    return torch.nn.Sequential(
        torch.nn.Conv2d(in_channels, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
        torch.nn.Flatten(), torch.nn.Linear(4 * (image_size - 2) ** 2, num_classes),
    )
"""
SWEEP = """
name = "mine"
[model]
name = "my_things:network"
[data]
name = "my_things:data"
[training]
bn_batch = 10
[space]
optimizer = "sgd"
global_batch = 30
epochs = 6
base_lr = [0.01, 0.05]
[seeds]
count = 1
"""


@pytest.fixture
def home(tmp_path) -> Path:
    (tmp_path / "my_things.py").write_text(MODULE)
    (tmp_path / "mine.toml").write_text(SWEEP)
    return tmp_path


def lars_sweep(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lars_sweep", *arguments]
    return subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=200)


def trial_ids(home: Path, directory: str) -> set[str]:
    done = lars_sweep(home, "plan", "mine.toml", "--trials", directory)
    assert done.returncode == 0, done.stderr
    return {path.stem for path in (home / directory).glob("*.json")}


def test_a_sweep_of_ones_own_things_runs(home):
    done = lars_sweep(home, "launch", "mine.toml", "--run-dir", "run", "--wait")
    assert done.returncode == 0, done.stderr
    status = json.loads(lars_sweep(home, "status", "run", "--json").stdout)
    assert status["finished"] == status["trials"] == 2
    (stratum,) = status["strata"]
    assert stratum["ok"] == 2
    assert stratum["best_accuracy_val"] > 90, "three grey levels are easy to tell apart"


def test_a_model_that_cannot_be_imported_is_refused_at_launch(home):
    (home / "my_nets.py").write_text("import nothing_of_this_name\ndef network(**shape): ...\n")
    (home / "mine.toml").write_text(SWEEP.replace("my_things:network", "my_nets:network"))
    done = lars_sweep(home, "launch", "mine.toml", "--run-dir", "run")
    assert done.returncode == 2
    assert "importing my_nets failed: ModuleNotFoundError: No module named" in done.stderr
    assert not (home / "run").exists()
    (home / "site.toml").write_text('executor = "slurm"\n[environment]\nsetup = ["module load x"]')
    done = lars_sweep(home, "launch", "mine.toml", "--profile", "site.toml", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "failed: ModuleNotFoundError" in done.stderr
    assert "here; profile site sets jobs up otherwise" in done.stderr


def test_the_source_of_the_model_is_part_of_the_identity(home):
    before = trial_ids(home, "before")
    assert trial_ids(home, "again") == before
    (home / "my_things.py").write_text(MODULE.replace("ReLU()", "Tanh()"))
    assert not trial_ids(home, "after") & before


def test_the_content_of_the_data_is_part_of_the_identity(home):
    before = trial_ids(home, "before")
    (home / "my_things.py").write_text(MODULE.replace("default_rng(7)", "default_rng(8)"))
    assert not trial_ids(home, "after") & before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("my_things:network", "my_thing:network", "my_thing"),
        ("my_things:data", "my_things:datum", "datum"),
        ("def data():", "def data():\n    return 1", "my_things:data"),
    ],
)
def test_mistakes_are_named(home, old, new, said):
    for file in ("my_things.py", "mine.toml"):
        path = home / file
        path.write_text(path.read_text().replace(old, new))
    done = lars_sweep(home, "plan", "mine.toml")
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert said in done.stderr


LAST = "torch.nn.Linear(4 * (image_size - 2) ** 2, num_classes),"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param(
            LAST, LAST.replace("num_classes", "num_classes + 4"),
            "in training it returns a tensor of shape (2, 7) and torch.float32 for 2 images of "
            "my_things:data; allowed: logits, (2, 3): one row per image, one column per class",
            id="classes",
        ),
        pytest.param(
            "torch.nn.Flatten(), " + LAST, "torch.nn.Conv2d(4, num_classes, 1),",
            "in training it returns a tensor of shape (2, 3, 4, 4) and torch.float32",
            id="no pooling",
        ),
        pytest.param(
            "torch.nn.Conv2d(in_channels,", "torch.nn.Conv2d(3,",
            "in training it fails on images of shape (2, 1, 6, 6): RuntimeError: Given groups=1, "
            "weight of size [4, 3, 3, 3], expected input[2, 1, 6, 6] to have 3 channels",
            id="channels",
        ),
        pytest.param(
            LAST, LAST + " torch.nn.Flatten(0),", "it returns a tensor of shape (6,)", id="flat",
        ),
    ],
)  # fmt: skip
def test_a_network_that_gives_no_logits_is_refused_by_plan(home, old, new, said):
    path = home / "my_things.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    done = lars_sweep(home, "plan", "mine.toml")
    assert done.returncode == 1
    assert done.stderr.startswith("error: model my_things:network: ")
    assert said in done.stderr
    assert done.stdout == ""


ODD = """

class Odd(torch.nn.Module):
    def __init__(self, num_classes, size):
        super().__init__()
        self.scale = float(torch.ones(1).item())
        self.head = torch.nn.Linear(size, num_classes)

    def forward(self, x):
        x = x.flatten(1) * float(x.abs().max().item() + self.scale)
        outputs = self.head(x)
        return (outputs, outputs) if self.training else outputs


def odd(num_classes, in_channels, image_size):
    return Odd(num_classes, in_channels * image_size**2)
"""


def test_a_network_that_needs_real_numbers_passes(home):
    """Neither its making nor its forward has a form on the meta device; heads beside it may be."""
    path = home / "my_things.py"
    path.write_text(path.read_text() + ODD)
    sweep = home / "mine.toml"
    sweep.write_text(sweep.read_text().replace("my_things:network", "my_things:odd"))
    assert lars_sweep(home, "plan", "mine.toml").returncode == 0
    path.write_text(path.read_text().replace(" if self.training else outputs", ""))
    done = lars_sweep(home, "plan", "mine.toml")
    assert done.returncode == 1
    assert "in evaluation it returns tuple for 2 images" in done.stderr
