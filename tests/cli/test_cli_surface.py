"""The commands and options that exist: adding one is a decision, and it shows here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main
from clikit import Here, lars_sweep
from runkit import write_sweep

import lars_sweep as package
from lars_sweep.cli.app import app

SURFACE = {
    "": "--version",
    "plan": "SWEEP --set --data-dir --json --trials --power --sigma",
    "launch": "SWEEP --run-dir --set --profile --workers --data-dir --wait --dry-run --smoke"
    " --simulate --trainer",
    "resume": "RUN --profile --workers --data-dir --wait --retry-failed --cause",
    "status": "RUN --json --watch",
    "why": "RUN TRIAL --json",
    "logs": "RUN TRIAL --follow",
    "prune": "RUN --where --trial --dry-run",
    "cancel": "RUN",
    "gc": "RUN --days --dry-run",
    "collect": "RUN --out --table",
    "export": "RUN --to-optuna",
    "fit": "INPUTS --kind --json --delta --sigma --target --baseline --pool",
    "recipe": "RUN --batch --only --pytorch --json --delta --sigma --target --baseline",
    "report": "INPUTS --out --kind --against --delta --sigma --target --baseline --pool",
    "train": "TRIAL --data-dir --checkpoints --threads --compile --noise-scale",
    "doctor": "--run-dir --profile --dataset --data-dir --json",
    "data": "",
    "data show": "NAME --data-dir --json",
    "data get": "NAME --directory",
    "data pack": "SOURCE OUT --mode --side --quality",
    "data verify": "PACK",
}
"""Command → its arguments and options; a knob of the science belongs in the sweep file."""


def _commands() -> Iterator[tuple[str, object]]:
    """Every command with its full name; groups as well."""
    waiting = [("", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop(0)
        yield name, command
        for inner, found in getattr(command, "commands", {}).items():
            waiting.append((f"{name} {inner}".strip(), found))


def _surface(command: object) -> str:
    return " ".join(
        parameter.opts[0] if parameter.opts[0].startswith("-") else parameter.name.upper()
        for parameter in command.params  # type: ignore[attr-defined]
    )


def test_commands_and_options_are_frozen() -> None:
    assert {name: _surface(command) for name, command in _commands()} == SURFACE


@pytest.mark.parametrize("name", SURFACE)
def test_every_command_has_help_and_every_option_a_text(cli: Here, name: str) -> None:
    done = cli(*name.split(), "--help")
    assert done.status == 0
    assert done.err == ""
    command = dict(_commands())[name]
    assert command.help or name == "data"  # type: ignore[attr-defined]
    for parameter in command.params:  # type: ignore[attr-defined]
        hidden = getattr(parameter, "hidden", False)
        assert hidden or getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['lars-sweep', '--help']\n"
        "from lars_sweep.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'optuna', 'submitit', 'pandas', 'pyarrow', 'numpy', 'scipy', 'pydantic',"
        " 'matplotlib', 'seaborn'}\n"
        "sys.exit(' '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: lars-sweep" in done.stdout


@pytest.mark.parametrize(
    ("command", "absent"),
    [
        ("status", {"torch", "optuna", "submitit", "matplotlib"}),
        ("collect", {"torch", "optuna", "submitit", "matplotlib"}),
        ("plan", {"optuna", "submitit", "matplotlib"}),
        ("fit", {"torch", "optuna", "submitit", "matplotlib"}),
    ],
)
def test_commands_load_only_what_they_need(tmp_path: Path, command: str, absent: set[str]) -> None:
    from runkit import make_run

    run = make_run(tmp_path)
    arguments = {
        "status": [run.path], "plan": [tmp_path / "sweep.toml"],
        "collect": [run.path, "--out", tmp_path / "o.parquet"], "fit": [run.path],
    }[command]  # fmt: skip
    code = (
        "import sys\n"
        "from lars_sweep.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as done:\n    assert not done.code\n"
        f"print(*sorted({absent!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == ""


def test_the_module_is_the_command() -> None:
    done = lars_sweep("--version")
    assert (done.returncode, done.stdout) == (0, f"lars-sweep {package.__version__}\n")


def test_without_a_command_there_is_help(cli: Here) -> None:
    assert "Usage: lars-sweep" in cli().out


def test_the_data_directory_comes_from_the_environment(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path)
    text = sweep.read_text().replace('"digits"', '"fashion-mnist"')
    sweep.write_text(text)
    done = lars_sweep("plan", sweep, LARS_SWEEP_DATA=str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert str(tmp_path / "nowhere") in done.stderr
    given = lars_sweep("plan", sweep, "--data-dir", tmp_path / "else", LARS_SWEEP_DATA="nowhere")
    assert str(tmp_path / "else") in given.stderr
