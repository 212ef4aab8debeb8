"""A question → its section with every figure drawn, as bytes: work that processes can share."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pandas as pd

from lars_sweep.fit.analysis import Analysis
from lars_sweep.report import canvas
from lars_sweep.report.evidence import Evidence
from lars_sweep.report.exports import export_files
from lars_sweep.report.formats import to_pdf, to_png, to_svg
from lars_sweep.report.kinds import section_of
from lars_sweep.report.observations import RUN
from lars_sweep.report.page import Picture, to_image
from lars_sweep.report.sections import Drawing, Section
from lars_sweep.report.workers import Mapper


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


EXPORTS = "exports"
"""The part of a report that is no section."""
_LONGEST = ("lr-interval", "curves", "best-lr", "epochs", "gap", "layers", "batch", EXPORTS)
"""Parts by the time they take, on a large sweep."""


@dataclass(frozen=True, slots=True)
class PartMaker:
    """Makes the parts of one report; a class, because a closure cannot be pickled."""

    evidence: Evidence
    analyses: Mapping[str, Analysis]
    """As `exports.export_files` takes them."""

    def __call__(self, part: str) -> DrawnSection | dict[str, bytes]:
        """The section of a kind of `kinds.SECTIONS`, or the files of `EXPORTS`."""
        if part == EXPORTS:
            return export_files(self.analyses)
        return draw_section(section_of(self.evidence, part))


def make_parts(
    maker: PartMaker, kinds: Sequence[str], mapper: Mapper
) -> tuple[list[DrawnSection], dict[str, bytes]]:
    """The sections, in order, and the exports; long ones first, so that no process waits long."""
    rank = {part: i for i, part in enumerate(_LONGEST)}
    parts = sorted([*kinds, EXPORTS], key=lambda part: rank.get(part, len(rank)))
    made = dict(zip(parts, mapper(maker, parts), strict=True))
    sections = [made[kind] for kind in kinds]
    files = made[EXPORTS]
    assert isinstance(files, dict)
    return [one for one in sections if isinstance(one, DrawnSection)], files


def draw_section(section: Section) -> DrawnSection:
    """Draw every figure in both shapes and write it in all formats."""
    with canvas.style(), _little_collecting():
        figures = tuple(map(_draw, section.drawings))
    return DrawnSection(section=dataclasses.replace(section, drawings=()), figures=figures)


@contextmanager
def _little_collecting() -> Iterator[None]:
    """No search for cycles but once at the end: artists are many, and none is given up before."""
    enabled = gc.isenabled()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
        gc.collect()
        gc.unfreeze()


def _draw(drawing: Drawing) -> DrawnFigure:
    drawn = drawing.draw()
    wide = drawn.shaped("wide")
    svg = to_svg(wide)
    files = {
        "png": to_png(wide),
        "svg": svg,
        "pdf": to_pdf(wide),
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
