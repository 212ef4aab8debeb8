"""One run's tables → the files of its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lars_sweep.errors import RunError
from lars_sweep.outcomes.store import load_table
from lars_sweep.report import canvas, tables
from lars_sweep.report.labels import protocol_label
from lars_sweep.report.observations import CURVE_COLUMNS, Observations, observe
from lars_sweep.report.page import Picture, render_page, to_image
from lars_sweep.report.provenance import provenance_facts
from lars_sweep.report.sections import SECTIONS, Drawing, Section
from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class FigurePaths:
    """The files of one figure."""

    png: Path
    svg: Path
    csv: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPaths:
    """What a report consists of."""

    html: Path
    """The page; it needs none of the other files."""
    figures: Mapping[str, FigurePaths]
    """Figure name → its files; a figure that the data cannot fill is absent."""
    tables: tuple[Path, ...]
    """CSV files at full precision."""


def report_run(run: RunDir, out_dir: Path) -> Path:
    """Write the report of what a run has finished so far; the path of its page.

    Raises:
        OutcomeError: the run's tables were written by a newer lars-sweep.
        RunError: ``out_dir`` cannot be written.
    """
    outcomes = load_table(run, "outcomes")
    curves = load_table(run, "curves", CURVE_COLUMNS)
    provenance = {"Run id": run.run_id, "Sweep": run.sweep, "Spec hash": run.spec_hash}
    return build_report(outcomes, curves, provenance, out_dir).html


def build_report(
    outcomes: pa.Table, curves: pa.Table, provenance: Mapping[str, object], out_dir: Path
) -> ReportPaths:
    """Write the report of some outcomes; the same input gives the same bytes.

    Args:
        outcomes: rows of ``schema.OUTCOMES``, in any order, failed ones included.
        curves: rows of ``schema.CURVES``, in any order.
        provenance: what the tables do not hold, as in ``{"Run id": "7f3a"}``; printed as given.
        out_dir: made if absent; files of an earlier report in it are replaced.

    Returns:
        The paths written: ``report.html``, PNG, SVG and CSV of each figure, CSV of each table.

    Raises:
        OutcomeError: a table lacks a column.
        RunError: ``out_dir`` cannot be written.
    """
    observations = observe(outcomes, curves)
    sections = [make(observations) for make in SECTIONS.values()]
    facts = provenance_facts(outcomes, provenance, protocol_label(observations))
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{out_dir}: the report's directory cannot be made: {error.strerror}; name another "
            "with --out"
        ) from error
    return _write(observations, sections, facts, out_dir)


def _write(
    observations: Observations,
    sections: list[Section],
    facts: list[tuple[str, str]],
    out_dir: Path,
) -> ReportPaths:
    pictures, figure_paths = {}, {}
    with canvas.style():
        for section in sections:
            if section.drawing is not None:
                drawn = _draw(observations, section.drawing, out_dir)
                pictures[section.kind], figure_paths[section.drawing.name] = drawn
    frames = {table.name: table.frame for section in sections for table in section.tables}
    frames["points"] = tables.points_frame(observations)
    html = out_dir / "report.html"
    sweeps = ", ".join(sorted(observations.strata["sweep"].unique())) or "no outcomes"
    lead = next(s.verdict.sentence for s in sections if s.kind == "outcomes")
    page = render_page(f"Sweep {sweeps}", lead, sections, pictures, facts)
    return ReportPaths(
        html=_publish(html, page.encode("utf-8")),
        figures=figure_paths,
        tables=tuple(
            _publish(out_dir / f"{name}.csv", _csv(frame)) for name, frame in frames.items()
        ),
    )


def _draw(
    observations: Observations, drawing: Drawing, out_dir: Path
) -> tuple[Picture, FigurePaths]:
    wide, narrow = drawing.draw(observations, "wide"), drawing.draw(observations, "narrow")
    svg = canvas.to_svg(wide)
    picture = Picture(
        name=drawing.name,
        alt=drawing.alt,
        caption=drawing.caption,
        wide=to_image(wide, svg),
        narrow=to_image(narrow),
    )
    stem = out_dir / drawing.name
    return picture, FigurePaths(
        png=_publish(stem.with_suffix(".png"), canvas.to_png(wide)),
        svg=_publish(stem.with_suffix(".svg"), svg),
        csv=_publish(stem.with_suffix(".csv"), _csv(drawing.frame)),
    )


def _csv(frame: pd.DataFrame) -> bytes:
    """Floats as their shortest exact text, null as an empty cell."""
    return frame.to_csv(index=False, lineterminator="\n").encode("utf-8")


def _publish(path: Path, content: bytes) -> Path:
    publish.replace(path, content, durable=False)  # a lost report is made again
    return path
