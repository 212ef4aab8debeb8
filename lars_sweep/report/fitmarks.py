"""How fits and their intervals are drawn; the conventions of every figure that shows one.

A fitted line is solid inside the data, dashed outside and hatched beyond one octave. Bars are 95 %
intervals. Good-LR intervals are horizontal bars: dark where surely good, light where not excluded,
with an arrow head where an end is censored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lars_sweep.fit.answers import Interval
from lars_sweep.report.canvas import INK, MUTED, RED
from lars_sweep.report.strokes import add_dots, add_strokes

FloatArray = NDArray[np.float64]
Handle = Line2D | Patch
"""An entry of a legend."""
OCTAVE = 2.0


def draw_curve(
    axes: Axes,
    x: FloatArray,
    y: FloatArray,
    band: tuple[FloatArray, FloatArray] | None,
    data: tuple[float, float],
    color: str,
    *,
    width: float = 1.5,
) -> None:
    """A fitted line with its band.

    Args:
        axes: with a logarithmic x axis.
        x: positions (m,), ascending; the ends of ``data`` among them.
        y: the curve there (m,).
        band: limits (m,) each, NaN where there is none.
        data: smallest and largest x of the data.
        color: of line and band.
        width: of the line, points; a wide line lies below and is paler, so that both show.
    """
    low, high = data
    wide = width > 2
    outside: Any = (0.0, (1.2, 0.6)) if wide else "--"
    spans = ((-math.inf, low, outside), (low, high, "-"), (high, math.inf, outside))
    for start, end, dashes in spans:
        part = (x >= start) & (x <= end)
        if np.count_nonzero(part) > 1 or start == low:
            axes.plot(
                x[part], y[part], linestyle=dashes, color=color, linewidth=width,
                alpha=0.45 if wide else 1.0, zorder=2.2 if wide else 2.4,
                solid_capstyle="butt" if wide else "projecting",
            )  # fmt: skip
    if band is None:
        return
    axes.fill_between(x, band[0], band[1], color=color, alpha=0.2, linewidth=0, zorder=1)
    far = (x < low / OCTAVE * (1 - 1e-9)) | (x > high * OCTAVE * (1 + 1e-9))
    if far.any():  # the first far point's neighbour too, so that no gap is left
        reach = far | np.append(far[1:], False) | np.append(False, far[:-1])
        axes.fill_between(
            x, band[0], band[1], where=reach.tolist(), facecolor="none", edgecolor=color,
            hatch="////", linewidth=0, alpha=0.5, zorder=1.1,
        )  # fmt: skip


def draw_cells(
    axes: Axes,
    x: FloatArray,
    y: FloatArray,
    limits: tuple[FloatArray, FloatArray],
    *,
    color: str,
    marker: str,
    hollow: FloatArray | None = None,
) -> None:
    """Means as markers with their 95 % bars; ``hollow`` (n,) is true where one is not to trust."""
    known = np.isfinite(limits[0]) & np.isfinite(limits[1])
    if known.any():
        low, high = (np.stack([x, limit], axis=-1)[known] for limit in limits)
        add_strokes(axes, low, high, color=color, width=1.2, zorder=2.8)
    open_ = np.zeros(len(x), dtype=bool) if hollow is None else hollow.astype(bool)
    for part, face, edge in ((~open_, color, "white"), (open_, "white", color)):
        if not part.any():
            continue
        # a line of markers: half the time and the file of as many marks of a scatter
        axes.plot(
            x[part], y[part], linestyle="none", marker=marker, markersize=5.83, zorder=3,
            markerfacecolor=face, markeredgecolor=edge,
            markeredgewidth=0.6 if face == color else 1.3,
        )  # fmt: skip


def draw_dots(axes: Axes, x: FloatArray, y: FloatArray, color: str) -> None:
    """Single seeds as small pale dots."""
    if len(x):
        add_dots(axes, x, y, color=color, size=3.3, alpha=0.45, zorder=2)


def draw_level(
    axes: Axes, value: float, limits: Interval | None, label: str, *, color: str = INK
) -> None:
    """A baseline: a dashed line over the whole width, with its own band, and its name."""
    axes.axhline(value, color=color, linewidth=0.9, linestyle=(0, (5, 3)), zorder=1.5)
    if limits is not None and limits.low is not None and limits.high is not None:
        axes.axhspan(limits.low, limits.high, color=color, alpha=0.08, linewidth=0, zorder=0.5)
    axes.annotate(
        label, (0.0, value), xycoords=("axes fraction", "data"), xytext=(3, 2.5), size=6.8,
        textcoords="offset points", color=MUTED, va="bottom", ha="left", zorder=4,
    )  # fmt: skip


def draw_good_lrs(
    axes: Axes, inner: Interval | None, outer: Interval, line: float, color: str
) -> None:
    """One good-LR interval as a bar on a line of a strip; the axis must have its limits."""
    left, right = axes.get_xlim()
    low = left if outer.low is None else max(outer.low, left)
    high = right if outer.high is None else min(outer.high, right)
    axes.plot([low, high], [line, line], color=color, alpha=0.3, linewidth=6.5,
              solid_capstyle="butt", zorder=1.2)  # fmt: skip
    if inner is not None and inner.low is not None and inner.high is not None:
        axes.plot([inner.low, inner.high], [line, line], color=color, linewidth=3.2,
                  solid_capstyle="butt", zorder=1.4)  # fmt: skip
    for end, at, marker in ((outer.low, left, "<"), (outer.high, right, ">")):
        if end is None:
            axes.plot([at], [line], marker, color=color, markersize=5, clip_on=False, zorder=1.6)


def draw_interval(
    axes: Axes, value: float, limits: tuple[float, float], line: float, color: str
) -> None:
    """An estimate and its 95 % interval on a line of a strip; NaN stands for what is missing."""
    left, right = axes.get_xlim()
    low, high = (left if math.isnan(limits[0]) else limits[0], limits[1])
    end = right if math.isnan(high) else min(high, right)
    if not all(math.isnan(limit) for limit in limits):
        axes.plot([max(low, left), end], [line, line], color=color, alpha=0.45, linewidth=5,
                  solid_capstyle="butt", zorder=1.2)  # fmt: skip
        if math.isnan(high) or high > right:
            axes.plot([right], [line], ">", color=color, markersize=5, clip_on=False, zorder=1.6)
        if math.isnan(limits[0]) or low < left:
            axes.plot([left], [line], "<", color=color, markersize=5, clip_on=False, zorder=1.6)
    if left <= value <= right:
        axes.plot([value], [line], "|", color=color, markersize=9, markeredgewidth=1.8, zorder=2)


ROOM_FOR_COUNT = 0.09
"""Share of a strip's width that ``k/r`` and a cross need in a panel 3 inches wide, a phone's."""


def draw_lost(axes: Axes, x: Sequence[float], line: float, labels: Sequence[str]) -> None:
    """Diverged LRs (ascending) as red crosses on a line of a strip with a log axis.

    Labels say k/r and are empty where all seeds did, whose crosses are bold. A label stands where
    there is room for it to the left of its cross.
    """
    if not len(x):
        return
    for bold in (False, True):
        mine = [at for at, label in zip(x, labels, strict=True) if bold is not bool(label)]
        axes.plot(mine, [line] * len(mine), "x", color=RED, markersize=4.8 if bold else 3.6,
                  markeredgewidth=1.5 if bold else 0.7, zorder=3)  # fmt: skip
    left, right = np.log(axes.get_xlim())
    room = np.diff(np.log(x), prepend=-np.inf) / (right - left)
    for at, label, share in zip(x, labels, room, strict=True):
        if label and share >= ROOM_FOR_COUNT:
            axes.annotate(label, (at, line), xytext=(-4, 0), textcoords="offset points", ha="right",
                          va="center", size=6.3, color=RED, zorder=3)  # fmt: skip


def fit_handles(*, band: bool, outside: bool) -> list[Handle]:
    """Legend entries of a fitted line."""
    handles: list[Handle] = [Line2D([], [], color=MUTED, linewidth=1.5, label="fit")]
    if outside:
        handles.append(
            Line2D([], [], color=MUTED, linewidth=1.5, linestyle="--", label="outside the data")
        )
    if band:
        handles.append(Patch(facecolor=MUTED, alpha=0.25, linewidth=0, label="95 % of the mean"))
    return handles


def good_lr_handles(*, inner: bool) -> list[Handle]:
    """Legend entries of `draw_good_lrs`; ``inner``: some LRs are surely good."""
    light = Line2D([], [], color=MUTED, alpha=0.35, linewidth=6.5, label="not excluded")
    dark = Line2D([], [], color=MUTED, linewidth=3.2, label="surely good LRs")
    return [dark, light] if inner else [light]
