"""Names in figures: drawn where a font has them, else spelled out, and the figure says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from matplotlib.text import Text

from lars_sweep.report import canvas, glyphs
from lars_sweep.report.canvas import Canvas, make_canvas, style
from lars_sweep.report.formats import to_pdf, to_png, to_svg

ONLY_IN_STIX = "\u2322"
ONLY_NOT_BOLD = "\U0001d5a0"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """What is known of this machine's fonts is forgotten."""
    forget()
    yield
    forget()


def forget() -> None:
    glyphs.families.cache_clear()
    glyphs._faces.cache_clear()
    glyphs._drawn.cache_clear()


def drawn(title: str, footer: str = "net") -> Canvas:
    """Drawn in all three formats; a glyph that is missing would warn, which is an error here."""
    with style():
        made = make_canvas([(0, 0, "lars")], {0: title}, legend=[canvas_handle()], footer=footer)
        for shape in ("wide", "narrow"):
            figure = made.shaped(shape)
            for written in (to_png(figure), to_svg(figure), to_pdf(figure)):
                assert written
    return made


def canvas_handle() -> canvas.Line2D:
    return canvas.Line2D([], [], label="fit")


def texts(made: Canvas) -> str:
    found = [text.get_text() for text in made.figure.findobj(Text)]
    return " ".join(" ".join(found).split())


def test_what_no_font_has_is_spelled_out_and_the_footer_says_so() -> None:
    shown = texts(drawn(f"网Δ 🚀\t{ONLY_NOT_BOLD}"))
    assert r"\u7f51Δ \U0001f680\t\U0001d5a0" in shown
    assert "a character that no font here has" in shown
    assert "no font here has" in texts(drawn("net", footer="数据 · 15 epochs"))


def test_other_names_stay_as_they_are() -> None:
    shown = texts(drawn("Δίκτυο, ‖w‖ · ½"))
    assert "Δίκτυο, ‖w‖ · ½" in shown
    assert "no font" not in shown


def test_a_dollar_begins_no_formula() -> None:
    assert r"\$\frac{ 1\$" in texts(drawn(r"$\frac{ 1$"))


def test_an_installed_fallback_draws_what_the_shipped_font_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert glyphs.drawable(ONLY_IN_STIX) == r"\u2322"
    forget()
    monkeypatch.setattr(glyphs, "FALLBACKS", ("No Such Font", "STIXGeneral"))
    assert glyphs.families() == ("DejaVu Sans", "STIXGeneral")
    assert ONLY_IN_STIX in texts(drawn(ONLY_IN_STIX))
