"""The command line: parse, call one function, render.

Data goes to stdout, talk to stderr. Nothing heavier than typer is imported until a command runs.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper

from lars_sweep.errors import LarsSweepError


def main() -> None:
    """Entry point of ``lars-sweep`` and ``python -m lars_sweep``."""
    from lars_sweep.cli.app import app

    if isinstance(sys.stdout, TextIOWrapper):  # a name that the terminal cannot show ends nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="lars-sweep")
    except LarsSweepError as error:
        from lars_sweep.cli.talk import complain

        complain(str(error))
        sys.exit(error.exit_status)
