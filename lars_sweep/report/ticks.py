"""Ticks, their labels and grid lines as a few artists for an axis.

Matplotlib makes five artists for every tick and measures all labels in each drawing, which takes
most of the time that a figure of many panels needs. The marks are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from lars_sweep.report.strokes import add_strokes
from lars_sweep.report.tick_labels import TickLabels

Which = Literal["major", "minor"]
_WHICH: tuple[Which, Which] = ("major", "minor")
_TICKDOWN, _TICKLEFT = 3, 0
"""Matplotlib's numbers of these markers."""
_ORDER = 0.5
"""Below the data, as with ``axes.axisbelow``."""


def settle_ticks(axes: Axes) -> Callable[[], None]:
    """Replace the ticks of axes whose size and limits are final; the call given back undoes it."""
    made: list[Artist] = []
    undo: list[Callable[[], None]] = []
    for axis, name in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        for which in _WHICH:
            at, labels = _places(axis, which)
            if len(at):
                made += _marks(axes, axis, name, which, at, labels)
        major, minor = axis.get_major_locator(), axis.get_minor_locator()
        undo += [_put_back(axis, major, minor)]
        axis.set_major_locator(NullLocator())
        axis.set_minor_locator(NullLocator())

    def restore() -> None:
        for artist in made:
            artist.remove()
        for one in undo:
            one()

    return restore


def _rc(name: str) -> Any:
    """A setting of the style; its type hangs on its name, which is put together here."""
    return cast("dict[str, Any]", mpl.rcParams)[name]


def _put_back(axis: Axis, major: Any, minor: Any) -> Callable[[], None]:
    def put_back() -> None:
        axis.set_major_locator(major)
        axis.set_minor_locator(minor)

    return put_back


def _places(axis: Axis, which: Which) -> tuple[np.ndarray, list[str]]:
    """Positions of the ticks inside the limits (n,), and their labels."""
    major = which == "major"
    at = np.asarray(axis.get_majorticklocs() if major else axis.get_minorticklocs(), dtype=float)
    formatter = axis.get_major_formatter() if major else axis.get_minor_formatter()
    labels = formatter.format_ticks(at.tolist())
    scaled = axis.get_transform().transform(at)
    low, high = sorted(axis.get_transform().transform(axis.get_view_interval()))
    slack = 1e-10 * (high - low)
    inside = (scaled >= low - slack) & (scaled <= high + slack)
    return at[inside], [label for label, keep in zip(labels, inside, strict=True) if keep]


def _marks(
    axes: Axes, axis: Axis, name: str, which: Which, at: np.ndarray, labels: Sequence[str]
) -> list[Artist]:
    told = axis.get_tick_params(which)
    tick = f"{name}tick.{which}"
    length = told.get("length", _rc(f"{tick}.size"))
    made: list[Artist] = []
    if told.get("gridOn"):
        made.append(_grid(axes, name, at))
    if length:
        made.append(_strokes(axes, name, at, length, _rc(f"{tick}.width")))
    if told["labelbottom" if name == "x" else "labelleft"]:
        pad = length + _rc(f"{tick}.pad")
        size = told.get("labelsize", _rc(f"{name}tick.labelsize"))
        made += _labels(axes, name, at, labels, pad, size)
    return made


def _grid(axes: Axes, name: str, at: np.ndarray) -> Artist:
    """Lines over the whole width or height."""
    none = np.zeros(len(at))
    start, end = (
        np.stack([at, none + side] if name == "x" else [none + side, at], axis=-1)
        for side in (0.0, 1.0)
    )
    return add_strokes(
        axes, start, end, color=_rc("grid.color"), width=_rc("grid.linewidth"), zorder=_ORDER,
        cap="projecting",
        transform=axes.get_xaxis_transform("grid") if name == "x" else (
            axes.get_yaxis_transform("grid")
        ),
    )  # fmt: skip


def _strokes(axes: Axes, name: str, at: np.ndarray, length: float, width: float) -> Artist:
    """Short lines out of the panel."""
    none = np.zeros(len(at))
    xy = (at, none) if name == "x" else (none, at)
    color = _rc(f"{name}tick.color")
    outwards: Any = _TICKDOWN if name == "x" else _TICKLEFT
    line = Line2D(
        *xy, linestyle="none", marker=outwards, markersize=length, markeredgewidth=width,
        markeredgecolor=color, zorder=_ORDER,
        transform=axes.get_xaxis_transform("tick1") if name == "x" else (
            axes.get_yaxis_transform("tick1")
        ),
    )  # fmt: skip
    axes.add_artist(line)
    line.set_clip_on(False)
    return line


def _labels(
    axes: Axes, name: str, at: np.ndarray, labels: Sequence[str], pad: float, size: float
) -> list[Artist]:
    color = _rc(f"{name}tick.labelcolor")
    x = name == "x"
    place, va, ha = (axes.get_xaxis_text1_transform if x else axes.get_yaxis_text1_transform)(pad)
    if not any("$" in label or "\n" in label for label in labels):
        shown = np.array([bool(label) for label in labels], dtype=bool)
        texts = [label for label in labels if label]
        row = TickLabels("x" if x else "y", at[shown], texts, place, size, color, _ORDER)
        return [axes.add_artist(row)]
    return [
        axes.text(value if x else 0.0, 0.0 if x else value, text, transform=place, va=va, ha=ha,
                  size=size, color=color, zorder=_ORDER)
        for value, text in zip(at.tolist(), labels, strict=True)
        if text
    ]  # fmt: skip
