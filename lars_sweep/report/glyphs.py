"""Names in figures: what no font here can draw stands as its code point, never as an empty box."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

SHIPPED = "DejaVu Sans"
"""Shipped with matplotlib: the same glyphs everywhere."""
FALLBACKS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei",
    "Droid Sans Fallback", "Microsoft YaHei", "PingFang SC", "Hiragino Sans", "Malgun Gothic",
    "Noto Sans Devanagari", "Noto Sans Thai", "Noto Emoji", "Symbola", "Arial Unicode MS",
)  # fmt: skip
"""Asked, in this order, for what the shipped font lacks. None with colour bitmaps, which PDF and
SVG cannot take."""
WEIGHTS = ("normal", "bold")
NOTE = "\\u…, \\U… or \\x…: a character that no font here has"


@cache
def families() -> tuple[str, ...]:
    """The shipped font and the fallbacks that are installed."""
    installed = set(fontManager.get_font_names())
    return (SHIPPED, *(name for name in FALLBACKS if name in installed))


@cache
def _faces() -> tuple[tuple[str, ...], ...]:
    """Files of the regular faces, and of the bold ones, which titles have and which hold fewer."""
    faces = [[FontProperties(family=name, weight=w) for name in families()] for w in WEIGHTS]
    return tuple(tuple(findfont(face) for face in weight) for weight in faces)


@cache
def _drawn(character: str) -> str:
    known = all(
        any(get_font(face).get_char_index(ord(character)) for face in faces) for faces in _faces()
    )
    return character if known else character.encode("unicode_escape").decode("ascii")


def drawable(text: str) -> str:
    r"""``网1`` → ``\u7f511`` where no font has it; ``$`` begins no formula."""
    return _spelled(text).replace("$", r"\$")


def _spelled(text: str) -> str:
    return text if text.isascii() and text.isprintable() else "".join(map(_drawn, text))


def told(footer: str, names: Iterable[str]) -> str:
    """A figure's footer as it can be drawn, which says so where it or a name is spelled out."""
    spelled = any(_spelled(text) != text for text in (footer, *names))
    return drawable(footer) + (f" · {NOTE}" if spelled else "")
