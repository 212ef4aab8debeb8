"""Settled ticks look as matplotlib's own, and can be undone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lars_sweep.report import canvas
from lars_sweep.report.ticks import settle_ticks


def _pixels(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="raw", dpi=160)
    return np.frombuffer(buffer.getvalue(), dtype=np.uint8)


def _linear(axes: Axes) -> None:
    axes.plot([0, 1700], [70.0, 93.0])


def _decades(axes: Axes) -> None:
    axes.plot([0, 1700], [3.0, 4000.0])
    axes.set_yscale("log")


def _lrs(axes: Axes) -> None:
    canvas.lr_axis(axes, 0.01, 3.0)


def _strip(axes: Axes) -> None:
    canvas.strip_axis(axes, ["256", "512", "1K"], 4)


@pytest.mark.parametrize("prepare", [_linear, _decades, _lrs, _strip])
def test_settled_ticks_are_those_of_matplotlib_to_the_pixel(prepare) -> None:  # type: ignore[no-untyped-def]
    with canvas.style():
        figure = Figure(figsize=(4.2, 2.6))
        axes = figure.add_axes((0.15, 0.2, 0.8, 0.7))
        prepare(axes)
        own = _pixels(figure)
        restore = settle_ticks(axes)
        artists = len(axes.get_children())
        assert len(axes.xaxis.get_major_ticks()) == 0
        np.testing.assert_array_equal(_pixels(figure), own)
        restore()
        assert len(axes.get_children()) < artists
        np.testing.assert_array_equal(_pixels(figure), own)


def test_a_narrow_figure_has_the_panels_of_the_wide_one_below_each_other() -> None:
    with canvas.style():
        made = canvas.make_canvas(
            [(0, 0, "lars"), (1, 0, "sgd")], {0: "LARS", 1: "SGD"}, legend=[], footer="note"
        )
        places = {}
        for shape in ("wide", "narrow", "wide"):
            figure = made.shaped(shape)
            size = figure.get_size_inches()
            boxes = [slot.main.get_position() for slot in made.slots.values()]
            places[shape] = [(box.x0 * size[0], box.y0 * size[1]) for box in boxes]
            assert [text.get_text() for text in figure.texts] == ["note"]
            assert len(figure.legends) == 1
        (left, right), (above, below) = places["wide"], places["narrow"]
        assert left[1] == pytest.approx(right[1])
        assert above[0] == pytest.approx(below[0])
        assert above[1] > below[1] + 2
