"""README is true: its blocks run, its tables are those of the code, its links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "sweeps" / "README.md", ROOT / "slurm" / "README.md"]


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(bash|python)\n(.*?)^```", README, flags=re.S | re.M)


def test_every_block_runs_in_order(tmp_path):
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert len(blocks()) >= 4
    for language, code in blocks():
        command = ["bash", "-euo", "pipefail", "-c", code]
        if language == "python":
            command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "runs/first/report/report.html").stat().st_size > 100_000
    assert (tmp_path / "outcomes.parquet").exists()


def test_generated_tables_are_up_to_date():
    script = ROOT / "analysis" / "readme_tables.py"
    done = subprocess.run([sys.executable, script, "--check"], check=False)
    assert done.returncode == 0, "run: python analysis/readme_tables.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    dead = [link for link in links if not (page.parent / link).exists()]
    assert not dead


def test_every_command_is_documented():
    from lars_sweep.cli.app import app

    names = [c.name or c.callback.__name__ for c in app.registered_commands]
    assert [name for name in names if f"`{name} " not in README and f"`{name}`" not in README] == []
