"""Paired seeds: what they share widens heights, and no learning rate's verdict."""

from __future__ import annotations

import numpy as np
import pytest
from test_lr_interval import DELTA, LRS, surface, table

from lars_sweep.errors import OutcomeError
from lars_sweep.fit.blocks import without_blocks
from lars_sweep.fit.cells import cells
from lars_sweep.fit.lr_interval import LrInterval, lr_intervals
from lars_sweep.fit.rows import Rows

SEEDS, OWN, SHARED = 4, 0.1, 1.0


def paired(draw: int) -> Rows:
    """Seeds whose common luck is ten times as large as the rest."""
    rng = np.random.default_rng(draw)
    lr, seed = np.repeat(LRS, SEEDS), np.tile(np.arange(SEEDS), len(LRS))
    luck = rng.normal(0.0, SHARED, SEEDS)[seed]
    return table(lr, surface(lr) + luck + rng.normal(0.0, OWN, len(lr)), seed=seed)


def interval(rows: Rows, *, blocks: bool) -> LrInterval:
    return lr_intervals(rows, DELTA, paired=blocks)[0]


def test_blocks_find_the_edges_that_common_luck_hides() -> None:
    rows = paired(1)
    with_blocks, without = interval(rows, blocks=True), interval(rows, blocks=False)
    assert with_blocks.sigma == pytest.approx(OWN, rel=0.4)
    assert without.sigma > 5 * OWN  # type: ignore[operator]
    for end in ("low", "high"):
        mine, theirs = (getattr(found, end).interval for found in (with_blocks, without))
        assert mine.map(np.log2).width < 0.5 * theirs.map(np.log2).width
    assert with_blocks.low.value == pytest.approx(2 ** (-0.8 - 0.5), rel=0.1)


def test_heights_keep_the_luck_of_the_seeds() -> None:
    luck = [without_blocks(paired(draw), ("base_lr",)).height_se for draw in range(200)]
    assert np.sqrt(np.mean(np.square(luck))) == pytest.approx(SHARED / np.sqrt(SEEDS), rel=0.1)
    rows = paired(1)
    height = interval(rows, blocks=True).plateau
    half = 1.96 * without_blocks(rows, ("base_lr",)).height_se
    assert height.interval.width / 2 == pytest.approx(half, rel=0.05)


def test_sigma_is_unbiased_though_seeds_diverged() -> None:
    found = []
    for draw in range(150):
        rows = paired(draw)
        lost = np.zeros(len(rows), dtype=bool)
        lost[[1, 6, 17, 30]] = True
        status = np.where(lost, "diverged", "ok").astype(object)
        accuracy = np.where(lost, np.nan, rows.floats("accuracy"))
        kept = Rows({**rows.columns, "status": status, "accuracy": accuracy})
        table_of_cells = cells(without_blocks(kept, ("base_lr",)).rows, ("base_lr",))
        spare = np.sum(table_of_cells.ok - 1)
        found.append(np.nansum(table_of_cells.variance * (table_of_cells.ok - 1)) / spare)
    assert np.sqrt(np.mean(found)) == pytest.approx(OWN, rel=0.06)


def test_a_lost_seed_moves_no_mean_by_its_luck() -> None:
    rows = paired(2)
    lucky = int(np.argmax(rows.floats("accuracy")[:SEEDS]))
    keep = np.arange(len(rows)) != lucky
    means = [
        np.mean(without_blocks(part, ("base_lr",)).rows.floats("accuracy")[:count])
        for part, count in ((rows, SEEDS), (rows.where(keep), SEEDS - 1))
    ]
    assert means[0] == pytest.approx(means[1], abs=3 * OWN)


def test_one_seed_is_left_as_it_is() -> None:
    rows = paired(3)
    single = rows.where(rows["seed"] == 0)
    blocked = without_blocks(single, ("base_lr",))
    assert blocked.height_se == 0.0
    assert np.array_equal(blocked.rows.floats("accuracy"), single.floats("accuracy"))


def test_pairs_without_a_seed_column_are_refused() -> None:
    rows = paired(4)
    bare = Rows({name: column for name, column in rows.columns.items() if name != "seed"})
    with pytest.raises(OutcomeError, match="no column 'seed'"):
        lr_intervals(bare, DELTA, paired=True)
