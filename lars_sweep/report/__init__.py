"""Outcome tables → figures, tables and one HTML page."""

from __future__ import annotations

from lars_sweep.report.build import FigurePaths, ReportPaths, build_report, report_run

__all__ = ["FigurePaths", "ReportPaths", "build_report", "report_run"]
