"""The table of good LRs, where equal reasons share a row, and the strips below the panels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from synthetic_outcomes import source, tables

from lars_sweep.fit.analysis import FitOptions
from lars_sweep.outcomes.tables import arrow_schema
from lars_sweep.report.analyses import analyse_source
from lars_sweep.report.build import together
from lars_sweep.report.canvas import arrange
from lars_sweep.report.evidence import Evidence
from lars_sweep.report.fitmarks import draw_lost
from lars_sweep.report.grid import lines_of
from lars_sweep.report.inputs import Source, completed, read_source
from lars_sweep.report.kinds.batch import accuracy_range
from lars_sweep.report.kinds.best_lr import best_lr_section
from lars_sweep.report.kinds.lr_interval import lr_interval_section
from lars_sweep.report.observations import observe


def evidence(given: Source, *kinds: str) -> Evidence:
    outcomes, curves = completed(given), arrow_schema("curves").empty_table()
    return Evidence(
        observations=observe(outcomes, curves),
        analyses={"": analyse_source(given, FitOptions(kinds=kinds))},
        fixture="",
    )


def test_the_papers_column_of_lrs_that_two_settings_share_counts_once() -> None:
    """ResNet-50 has one, with its least and its most augmentation."""
    section = best_lr_section(evidence(read_source(Path("paper")), "best-lr"))
    assert (
        "over 4 settings (settings that share a model's best LRs count once); linear scaling is "
        "rejected in 4 of them and square-root scaling in 1"
    ) in section.verdict.sentence


@pytest.mark.parametrize(("lrs", "labelled"), [(8, 7), (50, 1)])
def test_counts_of_diverged_seeds_stand_only_where_there_is_room(lrs: int, labelled: int) -> None:
    """In a panel as wide as a phone's; crosses of LRs at which some seeds diverged are thin."""
    figure = Figure(figsize=(3.0, 0.3))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xscale("log")
    axes.set_xlim(0.08, 13.0)
    at = np.geomspace(0.1, 12.8, lrs).tolist()
    draw_lost(axes, at, 0.0, ["2/3"] * (lrs - 1) + [""])
    thin, bold = axes.lines
    assert (len(thin.get_xdata()), list(bold.get_xdata())) == (lrs - 1, at[-1:])
    assert thin.get_markeredgewidth() < bold.get_markeredgewidth()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == labelled
    crosses = [axes.transData.transform((lr, 0.0))[0] for lr in at]
    assert not [1 for box in boxes for cross in crosses if box.x0 - 2 < cross < box.x1 + 2]


def test_settings_that_tried_one_lr_share_a_row_and_ask_for_none() -> None:
    single, _ = tables(batches=(512, 2048, 8192), epochs=(15.0, 30.0), lrs=1, fail=0.0)
    section = lr_interval_section(evidence(source(single), "lr-interval"))
    good = section.tables[0]
    ((stratum, batch, why, *rest),) = good.rows
    assert stratum == "LARS, 15 epochs; SGD, 15 epochs and 2 more"
    assert batch == "512 – 8K"
    assert why == "1 LR finished, 4 needed for a curve"
    assert set(rest) == {"–"}
    assert len(good.frame) == 12  # the file has them all, with the LRs to add
    assert good.frame["lrs_to_add"].str.len().min() > 0
    assert not any("not bracketed" in note for note in section.verdict.notes)


def test_settings_of_which_something_is_known_keep_their_rows() -> None:
    several, _ = tables(batches=(512, 2048), lrs=7, fail=0.0)
    good = lr_interval_section(evidence(source(several), "lr-interval")).tables[0]
    assert [row[1] for row in good.rows] == ["512", "2K", "512", "2K"]


def test_what_is_missing_of_the_effective_lr_is_said_once() -> None:
    several, _ = tables(batches=(512, 2048, 8192), lrs=7, fail=0.0)
    notes = best_lr_section(evidence(source(several), "best-lr")).verdict.notes
    told = [note for note in notes if "ffective LR: " in note]
    assert told
    assert not any("ffective LR: measured effective LR" in note for note in told)


def test_a_strip_has_the_batches_of_its_own_row_of_panels() -> None:
    frame = pd.DataFrame({"row": [0, 0, 0, 1], "batch": [2048.0, 512.0, 512.0, 64.0]})
    assert lines_of(frame, "row", "batch") == {0: [512, 2048], 1: [64]}
    small, _ = tables(batches=(512, 2048), lrs=5, fail=0.0, name="a", optimizers=("lars",))
    large, _ = tables(batches=(64,), lrs=5, fail=0.0, name="b", optimizers=("lars",))
    given = [source(small, label="a"), source(large, label="b")]
    outcomes = together([(one.label, completed(one)) for one in given])
    assert outcomes is not None
    options = FitOptions(kinds=("lr-interval",))
    section = lr_interval_section(
        Evidence(
            observations=observe(outcomes, arrow_schema("curves").empty_table()),
            analyses={one.label: analyse_source(one, options) for one in given},
            fixture="",
        )
    )
    strips = [slot.strip for slot in section.drawings[0].draw().slots.values()]
    named = [[tick.get_text() for tick in strip.get_yticklabels()] for strip in strips if strip]
    assert named == [["512", "2K"], ["64"]]
    assert len({strip.get_ylim() for strip in strips if strip}) == 1  # lines of equal height


def test_the_axis_of_accuracy_follows_the_curve_but_not_to_its_end() -> None:
    cells = pd.DataFrame({"what": "cell", "batch": [256, 4096], "accuracy": [90.0, 80.0]})

    def ends(*curve: float) -> tuple[float, float]:
        line = pd.DataFrame({"what": "fit", "batch": [8192.0] * len(curve), "accuracy": curve})
        return accuracy_range(pd.concat([cells, line]), 2.0**14)

    assert ends(70.0, float("nan")) == (70.0, 90.0)
    assert ends(-9e18, 120.0) == pytest.approx((65.0, 105.0))
    assert ends() == (80.0, 90.0)


def test_single_panels_share_a_line_and_rivals_stay_side_by_side() -> None:
    panels = [(0, 0, "lars"), (1, 1, "lars"), (2, 2, "sgd"), (3, 3, "lars"), (4, 3, "sgd")]
    assert arrange(panels, "wide") == [[0, 1], [2, None], [3, 4]]
    assert arrange([*panels, (5, 4, "sgd")], "wide")[-1] == [5, None]
    assert arrange(panels, "narrow") == [[0], [1], [2], [3], [4]]
