"""The wheel carries what it needs and works where there is no checkout."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A fresh environment with the wheel in it; the libraries are lent from this environment."""
    place = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, ROOT],
        check=True,
        capture_output=True,
    )
    (wheel,) = place.glob("*.whl")
    venv.create(place / "venv", with_pip=False, symlinks=True)
    python = place / "venv" / "bin" / "python"
    (site,) = (place / "venv").glob("lib/python*/site-packages")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel],
        check=True,
    )
    # A .pth adds the directory, not the .pth files in it: the editable checkout stays out.
    lent = next(p for p in map(Path, sys.path) if p.name == "site-packages")
    (site / "lent.pth").write_text(f"{lent}\n")
    return python


def run(python: Path, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [python, "-m", "lars_sweep", *arguments], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_not_the_checkout(installed, tmp_path):
    code = "import lars_sweep; print(lars_sweep.__file__)"
    found = subprocess.run([installed, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert str(ROOT / "lars_sweep") not in found.stdout
    assert "site-packages" in found.stdout


def test_shipped_files_are_there(installed, tmp_path):
    code = (
        "from lars_sweep.shipped import shipped; import json;"
        "print(json.dumps([sorted(str(p.relative_to(shipped(k))) for p in shipped(k).rglob('*')"
        " if p.is_file()) for k in ('sweeps', 'slurm', 'reference')]))"
    )
    done = subprocess.run([installed, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    sweeps, slurm, reference = json.loads(done.stdout)
    assert "quickstart.toml" in sweeps
    assert "profiles/local.toml" in slurm
    assert [f"table{n}.csv" for n in range(1, 7)] == reference


def test_a_sweep_runs_from_it(installed, tmp_path):
    small = ["--set", "space.epochs=3", "--set", "space.global_batch=512", "--set", "seeds.count=1"]
    run(installed, "launch", "quickstart", "--run-dir", "r", "--wait", *small, cwd=tmp_path)
    status = json.loads(run(installed, "status", "r", "--json", cwd=tmp_path))
    assert status["finished"] == status["trials"] == 14
    assert (tmp_path / "r" / "report" / "report.html").exists()
