"""The laws of the best LR in a figure: names apart, lines solid inside the data only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lars_sweep.report import canvas
from lars_sweep.report.kinds.laws_marks import FORMS, apart, draw_laws


def test_names_at_one_height_are_moved_apart_and_stay_inside() -> None:
    assert apart([0.9, 0.9, 0.5]) == pytest.approx([0.9, 0.825, 0.5])
    low = apart([0.1, 0.09, 0.08, 0.08])
    assert min(low) > 0
    assert min(-np.diff(low)) == pytest.approx(0.075)
    assert apart([]) == []


def test_every_law_is_solid_inside_the_data_named_and_seen_below_another() -> None:
    batch = np.geomspace(512 / 1.3, 8192 * 1.6, 41)
    batch = np.unique(np.concatenate([batch, [512.0, 8192.0]]))
    lrs = {"saturating": 8 / (1 + 2000 / batch), "linear": batch / 1000,
           "square_root": 0.05 * batch**0.5, "lars_null": 0.05 * batch**0.5}  # fmt: skip
    curves = pd.concat(
        [pd.DataFrame({"what": name, "batch": batch, "lr": lr}) for name, lr in lrs.items()]
    )
    axes = Figure().add_axes((0.1, 0.1, 0.8, 0.8))
    canvas.batch_axis(axes, [512, 2048, 8192])
    canvas.log_y_axis(axes, 1.0, 6.0, "LR")
    draw_laws(axes, curves, (512.0, 8192.0))
    solid = {line.get_color() for line in axes.lines if line.get_linestyle() == "-"}
    dashed = {line.get_color() for line in axes.lines if line.get_linestyle() != "-"}
    assert solid == dashed == {color for _, color, _ in FORMS.values()}
    assert sorted(text.get_text() for text in axes.texts) == [
        "LARS's null", "linear", "saturating", "square root",
    ]  # fmt: skip
    wide = [line for line in axes.lines if line.get_linewidth() > 2]
    assert {line.get_color() for line in wide} == {FORMS["lars_null"][1]}
    assert max(line.get_zorder() for line in wide) < 2.4
    assert axes.get_xlim()[1] > 8192 * 1.6 * 1.5  # room for the names
