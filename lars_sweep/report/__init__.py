"""Outcome tables → fits in every file format, figures, tables and one HTML page.

Names are loaded on first use: `lars-sweep fit` draws nothing and needs no matplotlib.
"""

from __future__ import annotations

from lars_sweep.lazy import lazy_names

_HOMES = {
    "FigurePaths": "build",
    "ReportPaths": "build",
    "build_report": "build",
    "report_run": "build",
}

__all__ = sorted(_HOMES)
__getattr__ = lazy_names(__name__, _HOMES)
