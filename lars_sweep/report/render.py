"""A question → its section with every figure drawn, as bytes: work that processes can share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lars_sweep.report import canvas
from lars_sweep.report.evidence import Evidence
from lars_sweep.report.kinds import section_of
from lars_sweep.report.observations import RUN
from lars_sweep.report.page import Picture, to_image
from lars_sweep.report.sections import Drawing, Section


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnFigure:
    """A figure as the page shows it, and its files."""

    picture: Picture
    files: Mapping[str, bytes]
    """Suffix (png, svg, pdf, csv) → content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSection:
    """A section whose drawings have become figures."""

    section: Section
    """Without drawings."""
    figures: tuple[DrawnFigure, ...]


@dataclass(frozen=True, slots=True)
class SectionMaker:
    """Makes sections of one body of evidence; a class, because a closure cannot be pickled."""

    evidence: Evidence

    def __call__(self, kind: str) -> DrawnSection:
        """The section of a kind of `kinds.SECTIONS`."""
        return draw_section(section_of(self.evidence, kind))


def draw_section(section: Section) -> DrawnSection:
    """Draw every figure in both shapes and write it in all formats."""
    with canvas.style():
        figures = tuple(map(_draw, section.drawings))
    return DrawnSection(section=dataclasses.replace(section, drawings=()), figures=figures)


def _draw(drawing: Drawing) -> DrawnFigure:
    drawn = drawing.draw()
    wide = drawn.shaped("wide")
    svg = canvas.to_svg(wide)
    files = {
        "png": canvas.to_png(wide),
        "svg": svg,
        "pdf": canvas.to_pdf(wide),
        "csv": frame_csv(drawing.frame),
    }
    picture = Picture(
        name=drawing.name,
        alt=drawing.alt,
        caption=drawing.caption,
        wide=to_image(wide, svg),
        narrow=to_image(drawn.shaped("narrow")),
    )
    return DrawnFigure(picture=picture, files=files)


def frame_csv(frame: pd.DataFrame) -> bytes:
    """Floats as their shortest exact text, null as an empty cell; no column for an only run."""
    if RUN in frame and frame[RUN].eq("").all():
        frame = frame.drop(columns=RUN)
    return frame.to_csv(index=False, lineterminator="\n").encode("utf-8")
