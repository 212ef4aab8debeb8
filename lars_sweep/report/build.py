"""Tables and their analyses → the files of a report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from lars_sweep.errors import RunError
from lars_sweep.fit.analysis import Analysis
from lars_sweep.outcomes.tables import arrow_schema
from lars_sweep.report import tables, verdicts
from lars_sweep.report.against import compare_with_paper
from lars_sweep.report.analyses import analyse_inputs
from lars_sweep.report.evidence import Evidence
from lars_sweep.report.inputs import Source, completed, fixture_of, to_rows
from lars_sweep.report.kinds import asked_kinds
from lars_sweep.report.kinds.against import against_section
from lars_sweep.report.labels import protocol_label
from lars_sweep.report.observations import RUN, observe
from lars_sweep.report.page import render_page
from lars_sweep.report.provenance import provenance_facts
from lars_sweep.report.published import LABEL
from lars_sweep.report.render import (
    DrawnFigure,
    DrawnSection,
    PartMaker,
    draw_section,
    frame_csv,
    make_parts,
)
from lars_sweep.report.workers import Workers
from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir


@dataclass(frozen=True, slots=True, kw_only=True)
class FigurePaths:
    """The files of one figure."""

    png: Path
    svg: Path
    pdf: Path
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
    exports: tuple[Path, ...] = ()
    """``fits.json``, CSV per fit, Markdown and LaTeX tables in the paper's layout."""


def report_run(run: RunDir, out_dir: Path) -> Path:
    """Write the report of what a run has finished so far; the path of its page.

    Raises:
        OutcomeError: the run's tables were written by a newer lars-sweep.
        RunError: ``out_dir`` cannot be written.
    """
    with Workers() as workers:
        analysed = analyse_inputs([run.path], workers=workers)
        return build_report(analysed, out_dir, workers=workers).html


def build_report(
    analysed: Sequence[tuple[Source, Analysis]],
    out_dir: Path,
    *,
    kinds: Sequence[str] = ("all",),
    against_paper: bool = False,
    workers: Workers | None = None,
) -> ReportPaths:
    """Write the report of some runs or tables; the same input gives the same bytes.

    Args:
        analysed: each input with what its rows allow to be said. Several inputs stay apart: their
            labels tell their panels and rows.
        out_dir: made if absent; files of an earlier report in it are replaced.
        kinds: the sections of the page, as `kinds.SECTIONS` names them; ``all`` for every one. A
            question that an analysis was not asked has a section that says so.
        against_paper: add a section that sets the outcomes beside the paper's tables.
        workers: processes that share the work; a report of many rows starts some of its own.

    Returns:
        The paths written: ``report.html``, PNG, SVG, PDF and CSV of each figure, CSV of each
        table, ``fits.json`` and the files of `exports.export_files`.

    Raises:
        SpecError: an unknown kind.
        OutcomeError: a table lacks a column.
        RunError: ``out_dir`` cannot be written.
    """
    sources = [source for source, _ in analysed]
    outcomes = together([(s.label, completed(s)) for s in sources])
    curves = together([(s.label, s.curves) for s in sources if s.curves is not None])
    observations = observe(
        outcomes, arrow_schema("curves").empty_table() if curves is None else curves
    )
    several = len(analysed) > 1
    evidence = Evidence(
        observations=observations,
        analyses={source.label if several else "": analysis for source, analysis in analysed},
        fixture=fixture_of(sources),
    )
    asked = asked_kinds(kinds)
    rows = sum(source.outcomes.num_rows for source in sources)
    with nullcontext(workers) if workers else Workers() as shared:
        maker = PartMaker(evidence, {source.label: analysis for source, analysis in analysed})
        sections, exports = make_parts(maker, asked, shared.mapper(rows))
    if against_paper:
        comparisons = {s.label: compare_with_paper(a, to_rows(s.outcomes)) for s, a in analysed}
        sections.append(draw_section(against_section(comparisons)))
    facts = provenance_facts(outcomes, _given(sources), protocol_label(observations))
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{out_dir}: the report's directory cannot be made: {error.strerror}; name another "
            "with --out"
        ) from error
    for name, content in exports.items():
        (out_dir / name).parent.mkdir(parents=True, exist_ok=True)
        _publish(out_dir / name, content)
    written = _write(evidence, sections, facts, out_dir)
    return dataclasses.replace(written, exports=tuple(out_dir / name for name in exports))


def together(parts: Sequence[tuple[str, pa.Table]]) -> pa.Table | None:
    """Tables of several inputs with their label as a column; of one input as it is."""
    if len(parts) < 2:
        return parts[0][1] if parts else None
    labelled = [
        table.append_column(RUN, pa.array([label] * table.num_rows, pa.string()))
        for label, table in parts
    ]
    return pa.concat_tables(labelled, promote_options="permissive")


def _given(sources: Sequence[Source]) -> dict[str, object]:
    """Provenance that only the inputs know; under their labels where there are several."""
    if len(sources) == 1:
        return dict(sources[0].provenance)
    return {source.label: dict(source.provenance) for source in sources}


def _write(
    evidence: Evidence, drawn: Sequence[DrawnSection], facts: list[tuple[str, str]], out_dir: Path
) -> ReportPaths:
    observations = evidence.observations
    sections = [one.section for one in drawn]
    frames = {table.name: table.frame for section in sections for table in section.tables}
    frames["points"] = tables.points_frame(observations)
    sweeps = ", ".join(sorted(observations.strata["sweep"].unique())) or "no outcomes"
    lead = verdicts.outcomes_verdict(observations).sentence
    lead = f"{evidence.fixture}. {lead}" if evidence.fixture else lead
    title = f"Published tables: {sweeps}" if evidence.fixture == LABEL else f"Sweep {sweeps}"
    question = dict(facts).get("Question", "")
    pictures = {one.section.kind: [figure.picture for figure in one.figures] for one in drawn}
    page = render_page(title, question, lead[:1].upper() + lead[1:], sections, pictures, facts)
    return ReportPaths(
        html=_publish(out_dir / "report.html", page.encode("utf-8")),
        figures={
            figure.picture.name: _figure_files(figure, out_dir)
            for one in drawn
            for figure in one.figures
        },
        tables=tuple(
            _publish(out_dir / f"{name}.csv", frame_csv(frame)) for name, frame in frames.items()
        ),
    )


def _figure_files(figure: DrawnFigure, out_dir: Path) -> FigurePaths:
    written = {
        suffix: _publish(out_dir / f"{figure.picture.name}.{suffix}", content)
        for suffix, content in figure.files.items()
    }
    return FigurePaths(**written)


def _publish(path: Path, content: bytes) -> Path:
    publish.replace(path, content, durable=False)  # a lost report is made again
    return path
