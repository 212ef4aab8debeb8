"""Where the files are that come with lars-sweep but are no Python: sweeps, profiles, tables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["sweeps", "slurm", "reference"]

_PACKAGE = Path(__file__).parent
_IN_CHECKOUT = {"sweeps": "sweeps", "slurm": "slurm", "reference": "analysis/reference"}


def shipped(kind: Kind) -> Path:
    """The folder of the shipped files of a kind.

    An installed wheel carries them inside the package (pyproject.toml, force-include), a checkout
    has them at its top.
    """
    installed = _PACKAGE / "_shipped" / kind
    return installed if installed.is_dir() else _PACKAGE.parent / _IN_CHECKOUT[kind]
