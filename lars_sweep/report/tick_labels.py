"""The labels of one axis' ticks as a single artist.

Matplotlib lays out every text for itself, in every drawing: lines, rotation, boxes. These are
single lines, which need no more than their width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.transforms import Transform

_sizes: dict[tuple[object, ...], tuple[float, float]] = {}
"""Kind of renderer, its pixels per point, font, text → width and height above the base line."""


class TickLabels(Artist):
    """Texts below the ticks of an x axis, centred, or to the left of those of a y axis.

    Args:
        axis: which one.
        at: positions along the axis (n,), in data coordinates.
        texts: what stands there; no formulas, one line each.
        transform: of ``(at, 0)`` or ``(0, at)``, the distance from the axis included.
        size: of the font, points.
        color: of all.
        zorder: of all.
    """

    def __init__(
        self, axis: Literal["x", "y"], at: np.ndarray, texts: Sequence[str],
        transform: Transform, size: float, color: str, zorder: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self._axis = axis
        self._texts = texts
        self._font = FontProperties(size=size)
        self._color = color
        nothing = np.zeros(len(at))
        self._at = np.stack([at, nothing] if axis == "x" else [nothing, at], axis=-1)
        self.set_transform(transform)
        self.set_zorder(zorder)

    def draw(self, renderer: RendererBase) -> None:
        """As `matplotlib.artist.Artist.draw`."""
        places = self.get_transform().transform(self._at)
        usual = _ascent(self._font) * cast("float", renderer.points_to_pixels(1.0))
        left, down = (0.5, 1.0) if self._axis == "x" else (1.0, 0.5)
        _, height = renderer.get_canvas_width_height()
        context: Any = renderer.new_gc()
        context.set_foreground(self._color)
        for (x, y), text in zip(places.tolist(), self._texts, strict=True):
            width, ascent = self._measured(renderer, text)
            x -= left * width
            y -= down * max(ascent, usual)
            y = height - y if renderer.flipy() else y
            renderer.draw_text(context, x, y, text, self._font, 0.0)
        context.restore()

    def _measured(self, renderer: RendererBase, text: str) -> tuple[float, float]:
        """Width, and height above the base line, pixels."""
        key = type(renderer), renderer.points_to_pixels(1.0), hash(self._font), text
        if key not in _sizes:
            width, height, below = renderer.get_text_width_height_descent(
                text, self._font, ismath=False
            )
            _sizes[key] = width, height - below
        return _sizes[key]


def _ascent(font: FontProperties) -> float:
    """Height above the base line that a line of text has at least, points."""
    face = get_font(findfont(font))
    heights, head = face.get_sfnt_table("OS/2"), face.get_sfnt_table("head")
    assert heights is not None
    assert head is not None
    return float(heights["sTypoAscender"] / head["unitsPerEm"] * font.get_size_in_points())
