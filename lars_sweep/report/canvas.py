"""What all figures share: style, colours, axes, and the grid of panels that they are drawn in."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, cast

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter, NullLocator

from lars_sweep.report.glyphs import drawable, families, told
from lars_sweep.report.labels import batch_label, lr_label
from lars_sweep.report.ticks import settle_ticks

INK, MUTED, GRID, RED = "#1f2430", "#5b6472", "#e3e6ea", "#c62828"
OPTIMIZER_COLORS = {"lars": "#0072b2", "sgd": "#d55e00", "lamb": "#cc79a7", "adamw": "#009e73"}
OPTIMIZER_MARKERS = {"lars": "o", "sgd": "s", "lamb": "D", "adamw": "^"}
BATCH_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p", "h", "*")

_RC: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titley": 1.0,  # else its place is sought anew, past all tick labels, in every drawing
    "font.size": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "lars-sweep",  # element ids are random without it
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}

Shape = Literal["wide", "narrow"]
"""wide: panels side by side, for screens and paper; narrow: one column, for phones."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one panel: its axes, and where there is one the strip for diverged runs."""

    main: Axes
    strip: Axes | None


@dataclass(slots=True, kw_only=True)
class Canvas:
    """A figure and the slots of its panels, by panel key; what it shows is drawn once."""

    figure: Figure
    slots: Mapping[int, Slot]
    shaped: Callable[[Shape], Figure]
    """The figure in a shape, ready to be written; one shape at a time."""


def style() -> AbstractContextManager[None]:
    """The look of all figures, for the time of a ``with`` block."""
    return mpl.rc_context(cast("Any", _RC | {"font.family": list(families())}))


def batch_colors(batches: Sequence[int]) -> dict[int, str]:
    """Viridis in the order of the batch; its palest end is left out, it fades on white."""
    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.86, max(len(batches), 2)))
    return {batch: mpl.colors.to_hex(shade) for batch, shade in zip(batches, shades, strict=False)}


def batch_markers(batches: Sequence[int]) -> dict[int, str]:
    """One marker per batch, so that colour is never the only difference."""
    return {batch: BATCH_MARKERS[i % len(BATCH_MARKERS)] for i, batch in enumerate(batches)}


def make_canvas(
    panels: Sequence[tuple[int, int, str]],
    titles: Mapping[int, str],
    *,
    legend: Sequence[Line2D | Patch],
    footer: str,
    strip_rows: int = 0,
    left: float = 0.66,
) -> Canvas:
    """An empty figure with one slot per panel, laid out in inches.

    Args:
        panels: key, row and optimizer of each.
        titles: panel key → title.
        legend: handles of the one legend, above the panels.
        footer: what stands below them, wrapped.
        strip_rows: height of the strips for diverged runs, in batches; 0: no strips.
        left: room for the labels of the y axis, inches.
    """
    names = {key: drawable(text) for key, text in titles.items()}
    about = told(footer, titles.values())
    figure = Figure()
    everywhere = (0.0, 0.0, 1.0, 1.0)
    slots = {
        key: Slot(figure.add_axes(everywhere), figure.add_axes(everywhere) if strip_rows else None)
        for key, _, _ in panels
    }
    undo: list[Callable[[], None]] = []

    def shaped(shape: Shape) -> Figure:
        while undo:
            undo.pop()()
        rows = arrange(panels, shape)
        undo.append(_lay_out(figure, slots, rows, names, shape, legend, about, strip_rows, left))
        undo.extend(settle_ticks(axes) for axes in figure.axes)
        return figure

    return Canvas(figure=figure, slots=slots, shaped=shaped)


def _lay_out(
    figure: Figure,
    slots: Mapping[int, Slot],
    rows: Sequence[Sequence[int | None]],
    titles: Mapping[int, str],
    shape: Shape,
    legend: Sequence[Line2D | Patch],
    footer: str,
    strip_rows: int,
    left: float,
) -> Callable[[], None]:
    """Give a figure its size and all parts their places; the call given back removes its texts."""
    columns = max(len(row) for row in rows)
    width = (3.05 if shape == "narrow" else 4.15) if columns > 1 or shape == "narrow" else 6.6
    height, strip = (2.5 if shape == "wide" else 2.2), 0.19 * strip_rows
    right, bottom = 0.14, 0.58 + (strip + 0.06 if strip_rows else 0.0)
    wrapped = {key: textwrap.fill(text, int(12.5 * width)) for key, text in titles.items()}
    title = 0.14 + 0.17 * max(text.count("\n") + 1 for text in wrapped.values())
    total_width = columns * (left + width + right)
    per_row = _legend_columns([str(handle.get_label()) for handle in legend], total_width - 0.2)
    head = 0.06 + 0.21 * math.ceil(len(legend) / per_row)
    note = textwrap.wrap(footer, int(total_width * 17.5))
    foot = 0.14 * len(note) + 0.12
    total_height = head + len(rows) * (title + height + bottom) + foot
    figure.set_size_inches(total_width, total_height)

    def place(axes: Axes, x: float, y: float, w: float, h: float) -> None:
        axes.set_position((x / total_width, y / total_height, w / total_width, h / total_height))
        # Fixed, else every drawing measures all tick labels to find room for the axis' own.
        axes.xaxis.set_label_coords(0.5, -0.25 / h)
        axes.yaxis.set_label_coords(-(left - 0.2) / w, 0.5)

    for i, row in enumerate(rows):
        for j, key in enumerate(row):
            if key is None:
                continue
            x = j * (left + width + right) + left
            y = total_height - head - i * (title + height + bottom) - title - height
            slot = slots[key]
            place(slot.main, x, y, width, height)
            slot.main.set_title(wrapped[key])
            if slot.strip is not None:
                place(slot.strip, x, y - strip - 0.06, width, strip)
    key_of_marks = figure.legend(
        handles=_row_major(legend, per_row), loc="upper left", ncols=per_row,
        bbox_to_anchor=(0.1 / total_width, 1 - 0.04 / total_height), borderaxespad=0.0,
        handletextpad=0.6, columnspacing=1.4, labelspacing=0.45,
    )  # fmt: skip
    below = figure.text(
        0.12 / total_width, 0.07 / total_height, "\n".join(note), size=7.5, color=MUTED, va="bottom"
    )

    def remove() -> None:
        key_of_marks.remove()
        below.remove()

    return remove


def _legend_columns(labels: Sequence[str], width: float) -> int:
    """The most columns, filled line by line, whose longest labels fit into ``width`` inches."""
    for columns in range(len(labels), 1, -1):
        longest = [max(map(len, labels[i::columns])) for i in range(columns)]
        if sum(0.46 + 0.078 * characters for characters in longest) <= width:
            return columns
    return 1


def _row_major(handles: Sequence[Line2D | Patch], columns: int) -> list[Line2D | Patch]:
    """Matplotlib fills a legend column by column; this order makes it read line by line."""
    rows = math.ceil(len(handles) / columns)
    blank = Line2D([], [], linestyle="none", label=" ")
    padded = [*handles, *[blank] * (rows * columns - len(handles))]
    return [padded[r * columns + c] for c in range(columns) for r in range(rows)]


def arrange(panels: Sequence[tuple[int, int, str]], shape: Shape) -> list[list[int | None]]:
    """Panels (key, row, optimizer) as a grid.

    The optimizers of a row stand side by side; single panels share lines, two to a line at least.
    """
    if shape == "narrow":
        return [[key] for key, _, _ in panels]
    optimizers = list(dict.fromkeys(optimizer for _, _, optimizer in panels))
    if len(optimizers) == 1:
        keys: list[int | None] = [key for key, _, _ in panels]
        lines = [keys[i : i + 2] for i in range(0, len(keys), 2)]
        return [line + [None] * (len(lines[0]) - len(line)) for line in lines]
    grid: dict[int, list[int | None]] = {}
    for key, row, optimizer in panels:
        grid.setdefault(row, [None] * len(optimizers))[optimizers.index(optimizer)] = key
    return _packed(list(grid.values()))


def _packed(lines: Sequence[list[int | None]]) -> list[list[int | None]]:
    """Neighbouring lines of one panel each share a line: rivals stand together, the rest fits."""
    packed: list[list[int | None]] = []
    alone = False
    for line in lines:
        filled = [key for key in line if key is not None]
        if len(filled) == 1 and alone and packed[-1][-1] is None:
            packed[-1][packed[-1].index(None)] = filled[0]
        else:
            alone = len(filled) == 1
            packed.append(filled + [None] * (len(line) - 1) if alone else line)
    return packed


def panels_of(frame: pd.DataFrame) -> list[tuple[int, int, str]]:
    """(panel, row, optimizer) of every panel in ``frame``, in order."""
    first = frame.drop_duplicates("panel").sort_values("panel")
    return [
        (int(p), int(r), str(o))
        for p, r, o in zip(first["panel"], first["row"], first["optimizer"], strict=True)
    ]


def share_y(panels: Sequence[Axes]) -> None:
    """Give comparable panels one y range, so that heights compare by eye."""
    limits = [axes.get_ylim() for axes in panels]
    for axes in panels:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))


def accuracy_limits(low: float, high: float) -> tuple[float, float]:
    """A y range around accuracies (%), with room for their markers."""
    margin = max(0.08 * (high - low), 0.4)
    return max(low - margin, -1.0), min(high + margin, 101.0)


def lr_axis(axes: Axes, low: float, high: float, *, ticks: bool = True) -> None:
    """Logarithmic LR axis over [low, high]: 1-2-5 or decade labels, minor ticks every √2.

    Without ``ticks`` only the grid lines stay, for a panel whose strip carries the axis.
    """
    low, high = low / 2**0.4, high * 2**0.4
    axes.set_xscale("log", base=2)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(major := _decimal_ticks(low, high)))
    if ticks:
        halves = range(math.ceil(2 * math.log2(low)), math.floor(2 * math.log2(high)) + 1)
        axes.xaxis.set_major_formatter(FixedFormatter([lr_label(lr) for lr in major]))
        axes.xaxis.set_minor_locator(FixedLocator([2.0 ** (k / 2) for k in halves]))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(axis="x", length=0, labelbottom=False)


def _decimal_ticks(low: float, high: float) -> list[float]:
    """1-2-5 steps between two positive limits, fewer of them over many decades."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high / low < 150 else (1,) if high / low > 3e4 else (1, 3)
    ticks = [m * 10.0**d for d in decades for m in steps if low <= m * 10.0**d <= high]
    if len(ticks) > 2:
        return ticks
    finer = (1, 1.5, 2, 3, 4, 5, 7)
    return [m * 10.0**d for d in decades for m in finer if low <= m * 10.0**d <= high]


def log_y_axis(axes: Axes, low: float, high: float, label: str) -> None:
    """Base-2 logarithmic y axis over [low, high] with decimal labels."""
    low, high = low / 2**0.4, high * 2**0.4
    axes.set_yscale("log", base=2)
    axes.set_ylim(low, high)
    major = _decimal_ticks(low, high)
    axes.yaxis.set_major_locator(FixedLocator(major))
    axes.yaxis.set_major_formatter(FixedFormatter([lr_label(value) for value in major]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_ylabel(label)


def doubling_axis(axes: Axes, values: Sequence[float], labels: Sequence[str]) -> None:
    """Base-2 logarithmic x axis, ticks at the values themselves, thinned to at most eight."""
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(values) / 2**0.5, max(values) * 2**0.5)
    stride = math.ceil(len(values) / 8)
    axes.xaxis.set_major_locator(FixedLocator(list(values[::stride])))
    axes.xaxis.set_major_formatter(FixedFormatter(list(labels[::stride])))
    axes.xaxis.set_minor_locator(NullLocator())


def batch_axis(axes: Axes, batches: Sequence[int]) -> None:
    """Base-2 batch axis with ticks at the powers of two around the batches that were run."""
    low, high = min(batches), max(batches)
    ends = math.floor(math.log2(low) + 1e-9), math.ceil(math.log2(high) - 1e-9)
    ticks = [2**k for k in range(ends[0], ends[1] + 1)]
    doubling_axis(axes, ticks, [batch_label(batch) for batch in ticks])
    axes.set_xlim(low / 2**0.5, high * 2**0.5)
    axes.set_xlabel("global batch (samples)")


def steps_axis(axes: Axes, low: float, high: float) -> None:
    """Base-2 axis of optimizer steps with decimal labels."""
    axes.set_xscale("log", base=2)
    axes.set_xlim(low, high)
    major = _decimal_ticks(low, high)
    axes.xaxis.set_major_locator(FixedLocator(major))
    axes.xaxis.set_major_formatter(FixedFormatter([_steps_label(step) for step in major]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("optimizer steps")


def _steps_label(steps: float) -> str:
    return f"{steps / 1e6:g} M" if steps >= 1e6 else f"{steps:,.0f}"


def strip_axis(axes: Axes, labels: Sequence[str], room: int) -> None:
    """A strip with room for some lines and a named one per label, the first on top."""
    axes.set_ylim(room - 0.4, -0.6)
    axes.yaxis.set_major_locator(FixedLocator(list(range(len(labels)))))
    axes.yaxis.set_major_formatter(FixedFormatter(list(labels)))
    axes.tick_params(axis="y", length=0, labelsize=7)
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
