"""Many short lines or dots of one look as a single artist.

A file needs a few bytes for each then, not an element of its own, and a tenth of the time.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.transforms import Transform
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_NO_LENGTH = 1e-5
"""Length of a dot on an axis of percents; without any, a line has no ends that could be round."""


def add_strokes(
    axes: Axes,
    start: FloatArray,
    end: FloatArray,
    *,
    color: str,
    width: float,
    zorder: float,
    alpha: float = 1.0,
    cap: Literal["butt", "projecting", "round"] = "butt",
    transform: Transform | None = None,
) -> PathPatch:
    """Upright or level lines from ``start`` to ``end`` (n, 2); no limit of the axes changes.

    Args:
        axes: where they are added.
        start: in data coordinates, or those of ``transform``.
        end: likewise.
        color: of all.
        width: in points.
        zorder: of all.
        alpha: of all; where they overlap they are no darker.
        cap: form of their ends.
        transform: None for data coordinates.
    """
    path = Path(
        np.stack([start, end], axis=1).reshape(-1, 2),
        np.tile([Path.MOVETO, Path.LINETO], len(start)),
    )
    path.should_simplify = False  # else what is shorter than a pixel goes
    patch = PathPatch(
        path, fill=False, edgecolor=color, linewidth=width, alpha=alpha, capstyle=cap,
        zorder=zorder, snap=cap != "round",
    )  # fmt: skip
    if transform is not None:
        patch.set_transform(transform)
    axes.add_artist(patch)
    return patch


def add_dots(
    axes: Axes, x: FloatArray, y: FloatArray, *, color: str, size: float, alpha: float,
    zorder: float,
) -> None:  # fmt: skip
    """Round dots of a diameter in points at x and y (n,), the latter percents."""
    start = np.stack([x, y], axis=-1)
    end = np.stack([x, y + _NO_LENGTH], axis=-1)
    add_strokes(axes, start, end, color=color, width=size, zorder=zorder, alpha=alpha, cap="round")
