"""Dots and lines of one look are drawn, and written as one path."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from lars_sweep.report.formats import PNG_DPI, to_png, to_svg
from lars_sweep.report.strokes import add_dots, add_strokes


def _figure() -> tuple[Figure, object]:
    figure = Figure(figsize=(1.0, 1.0))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(0.1, 10.0)
    axes.set_xscale("log")
    axes.set_ylim(0.0, 100.0)
    return figure, axes


def _dark(figure: Figure, tmp_path) -> np.ndarray:  # type: ignore[no-untyped-def]
    (tmp_path / "figure.png").write_bytes(to_png(figure))
    return imread(tmp_path / "figure.png")[..., :3].mean(axis=-1) < 0.5


def test_a_dot_has_its_place_and_diameter(tmp_path) -> None:  # type: ignore[no-untyped-def]
    figure, axes = _figure()
    limits = axes.get_xlim(), axes.get_ylim()
    add_dots(axes, np.array([1.0]), np.array([50.0]), color="black", size=18, alpha=1, zorder=2)
    assert (axes.get_xlim(), axes.get_ylim()) == limits
    dark = _dark(figure, tmp_path)
    rows, columns = np.nonzero(dark)
    size = 18 / 72 * PNG_DPI
    assert np.mean(rows) == pytest.approx(PNG_DPI / 2, abs=1)
    assert np.mean(columns) == pytest.approx(PNG_DPI / 2, abs=1)
    assert len(rows) == pytest.approx(np.pi / 4 * size**2, rel=0.03)


def test_many_dots_are_one_path_in_an_svg_and_all_are_there(tmp_path) -> None:  # type: ignore[no-untyped-def]
    figure, axes = _figure()
    x, y = np.geomspace(0.2, 5.0, 200), np.tile([30.0, 70.0], 100)
    before = to_svg(figure).decode().count("<path")
    add_dots(axes, x, y, color="black", size=2, alpha=1, zorder=2)
    text = to_svg(figure).decode()
    assert text.count("<path") == before + 1
    assert "stroke-linecap: round" in text
    (path,) = [d for d in re.findall(r' d="([^"]*)"', text) if d.count("M") == 200]
    assert path.count("L") == 200
    dark = _dark(figure, tmp_path)
    assert np.count_nonzero(dark.any(axis=0)) > 0.7 * np.log(25) / np.log(100) * dark.shape[1]


def test_strokes_reach_from_start_to_end(tmp_path) -> None:  # type: ignore[no-untyped-def]
    figure, axes = _figure()
    start, end = np.array([[1.0, 20.0], [5.0, 40.0]]), np.array([[1.0, 60.0], [5.0, 80.0]])
    add_strokes(axes, start, end, color="black", width=4, zorder=2)
    rows = np.flatnonzero(_dark(figure, tmp_path).any(axis=1)) / PNG_DPI
    assert (1 - rows.max(), 1 - rows.min()) == pytest.approx((0.2, 0.8), abs=0.02)
