"""What stands in the panels: dots, means and lines, and their legend. All calls of seaborn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from lars_sweep.report import canvas
from lars_sweep.report.canvas import MUTED
from lars_sweep.report.labels import batch_label


class Style(TypedDict):
    """Colour and marker of each value of a hue column, as seaborn takes them."""

    palette: dict[Any, str]
    markers: dict[Any, str]


def draw_over_time(axes: Axes, curves: pd.DataFrame, y: str, style: Style) -> None:
    """Trials over epochs, a colour per batch: seeds thin, their mean thick."""
    drawn = curves[np.isfinite(curves[y])]
    if drawn.empty:
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=MUTED)
        return
    lines = _line_per_trial(drawn, y)
    if len(lines) > drawn["global_batch"].nunique():
        colors = drawn.drop_duplicates("trial_id")["global_batch"].map(style["palette"])
        axes.add_collection(LineCollection(lines, colors=colors, linewidths=0.6, alpha=0.35))
    # Here, as it imports scipy.stats: half a second that a process without these curves saves.
    import seaborn as sns

    # all seeds of a point are evaluated at the same steps
    means = drawn.groupby(["global_batch", "epochs"], as_index=False)[y].mean()
    sns.lineplot(
        data=means, x="epochs", y=y, hue="global_batch", palette=style["palette"], ax=axes,
        legend=False, estimator=None, linewidth=1.7,
    )  # fmt: skip
    axes.set_xlim(left=0)


def _line_per_trial(curves: pd.DataFrame, y: str) -> list[NDArray[np.float64]]:
    """One (evaluations, 2) array per trial, in the order of the rows."""
    trial = curves["trial_id"].to_numpy()
    starts = np.flatnonzero(trial[1:] != trial[:-1]) + 1
    return np.split(curves[["epochs", y]].to_numpy(dtype=np.float64), starts)


def batch_style(batches: Sequence[int]) -> Style:
    """Viridis in the order of the batch, and a marker each."""
    return {"palette": canvas.batch_colors(batches), "markers": canvas.batch_markers(batches)}


def batch_legend(shown: Sequence[int], batches: Sequence[int]) -> list[Line2D]:
    """Entries of the batches shown, in the colours they have among all ``batches``."""
    colors, markers = canvas.batch_colors(batches), canvas.batch_markers(batches)
    first, *rest = [
        handle(batch_label(batch), marker=markers[batch], color=colors[batch]) for batch in shown
    ]
    first.set_label(f"batch {first.get_label()}")
    return [first, *rest]


def handle(
    label: str, *, marker: Any, color: str, markersize: float = 6, alpha: float = 1.0,
    hollow: bool = False,
) -> Line2D:  # fmt: skip
    """One legend entry."""
    return Line2D(
        [], [], linestyle="none", label=label, marker=marker, color=color, markersize=markersize,
        alpha=alpha, markerfacecolor="none" if hollow else color, markeredgecolor=color,
    )  # fmt: skip


def seed_handle() -> Line2D:
    """The legend entry of ``draw_seeds``."""
    return handle("one seed", marker="o", color=MUTED, markersize=3.2, alpha=0.7)
