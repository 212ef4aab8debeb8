"""The laws of the best LR as lines that stay apart where they coincide, named at their ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from lars_sweep.report.fitmarks import draw_curve

FORMS: Mapping[str, tuple[str, str, float]] = {
    "saturating": ("saturating, c/(1 + B₀/B)", "#0072b2", 1.5),
    "lars_null": ("LARS's null, c/√(1 + B₀/B)", "#cc79a7", 4.5),
    "square_root": ("square root", "#8a6d00", 1.5),
    "linear": ("linear", "#d55e00", 1.5),
}
"""Forms that are drawn, of the six that are fitted: their label, color and width in points."""
_ROOM = 0.26
"""Share of the axis that is added on the right for the names."""
_TOP = 0.96
"""Height of the name of a law that leaves the axis there."""
_LINE = 0.075
"""Height of a name, share of the axis."""


def law_handles(names: Sequence[str]) -> list[Line2D]:
    """Legend entries."""
    return [
        Line2D(
            [], [], color=FORMS[n][1], linewidth=FORMS[n][2], label=FORMS[n][0],
            alpha=1.0 if FORMS[n][2] <= 2 else 0.45,
        )
        for n in names
    ]  # fmt: skip


def draw_laws(axes: Axes, curves: pd.DataFrame, data: tuple[float, float]) -> None:
    """Every law with its name beside it, on logarithmic axes that have their limits.

    Args:
        axes: its x axis is made wider.
        curves: rows with ``what`` (a key of `FORMS`), ``batch`` and ``lr``.
        data: smallest and largest batch with a best LR.
    """
    left, right = np.log(axes.get_xlim())
    last = np.log(curves["batch"].max())
    wide = max(right, last) - left
    axes.set_xlim(np.exp(left), np.exp(left + (1.0 + _ROOM) * wide))
    bottom, top = np.log(axes.get_ylim())
    ends: list[tuple[float, float, str, str]] = []
    for name, (label, color, width) in FORMS.items():
        mine = curves[curves["what"] == name].sort_values("batch")
        if mine.empty:
            continue
        x, y = mine["batch"].to_numpy(float), mine["lr"].to_numpy(float)
        draw_curve(axes, x, y, None, data, color, width=width)
        height = (np.log(y) - bottom) / (top - bottom)
        leaves = float(np.interp(_TOP, height, np.log(x)))  # every law grows with the batch
        if leaves < last - _ROOM * wide:
            _name(axes, float(np.exp(leaves)), _TOP, label, color)
        else:
            place = min(max(float(height[-1]), _LINE), _TOP)
            ends.append((place, float(x[-1]), label, color))
    ends.sort(reverse=True)
    for place, (_, end, label, color) in zip(apart([e[0] for e in ends]), ends, strict=True):
        _name(axes, end, place, label, color)


def _name(axes: Axes, x: float, height: float, label: str, color: str) -> None:
    axes.annotate(
        label.split(",")[0], (x, height), xycoords=("data", "axes fraction"), xytext=(4, 0),
        color=color, textcoords="offset points", size=7, va="center", ha="left", zorder=4,
    )  # fmt: skip


def apart(heights: Sequence[float]) -> list[float]:
    """Heights (share of the axis, descending) moved so that no two names touch."""
    places: list[float] = []
    for height in heights:
        places.append(min(height, places[-1] - _LINE) if places else height)
    # Pushed below the axis: the whole pile moves up.
    return [place + max(0.0, _LINE / 2 - places[-1]) for place in places]
