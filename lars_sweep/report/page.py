"""Sections → one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from lars_sweep import __version__
from lars_sweep.report.formats import to_svg
from lars_sweep.report.sections import Section

CSS_PIXELS_PER_INCH = 96
MOST_ROWS = 40
"""Rows of a table on the page; its CSV file holds all."""


@dataclass(frozen=True, slots=True)
class Image:
    """An SVG as a data URI, with its natural size in CSS pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One figure of the page in both shapes; the browser takes the one that fits."""

    name: str
    alt: str
    caption: str
    wide: Image
    narrow: Image


def to_image(figure: Figure, svg: bytes | None = None) -> Image:
    """The figure, or its SVG bytes where they exist already, for an ``img`` element."""
    content = base64.b64encode(to_svg(figure) if svg is None else svg).decode("ascii")
    width, height = figure.get_size_inches() * CSS_PIXELS_PER_INCH
    return Image(f"data:image/svg+xml;base64,{content}", round(width), round(height))


def whole(cell: str) -> Markup:
    """A cell that breaks before its interval at most, never inside: ``0.1 (0.05 – 0.2)``."""
    return Markup(re.sub(r"\([^()]{1,32}\)|\S+ – \S+", r"<span>\g<0></span>", str(escape(cell))))


def render_page(
    title: str,
    question: str,
    lead: str,
    sections: Sequence[Section],
    pictures: Mapping[str, Sequence[Picture]],
    facts: Sequence[tuple[str, str]],
) -> str:
    """The page as HTML text.

    Args:
        title: of the window and the first heading.
        question: what the sweep is to answer, below it; may be empty.
        lead: what was run.
        sections: in order.
        pictures: kind of a section → its figures.
        facts: provenance, in order.
    """
    template = resources.files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["whole"] = whole
    return environment.from_string(template).render(
        title=title,
        question=question,
        lead=lead,
        sections=sections,
        pictures=pictures,
        facts=facts,
        version=__version__,
        most_rows=MOST_ROWS,
    )
