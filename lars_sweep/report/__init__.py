"""Outcome tables → fits in every file format, figures, tables and one HTML page.

Names are loaded on first use: `lars-sweep fit` draws nothing and needs no matplotlib.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "FigurePaths": "build",
    "ReportPaths": "build",
    "build_report": "build",
    "report_run": "build",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
