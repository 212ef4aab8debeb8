"""The good-LR interval: what must change it, what must not, and what too little data give."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lars_sweep.errors import OutcomeError
from lars_sweep.fit.answers import Kind, to_jsonable
from lars_sweep.fit.lr_interval import LrInterval, lr_intervals, width_ratio
from lars_sweep.fit.rows import Rows

LRS = 2.0 ** np.arange(-2.0, 2.6, 0.5)
DELTA = 0.5


def surface(lr: np.ndarray) -> np.ndarray:
    x = np.log2(lr)
    return 60 - 2 * np.maximum(0, -0.8 - x) ** 2 - 6 * np.maximum(0, x - 0.9) ** 2


def table(lr: np.ndarray, accuracy: np.ndarray, **extra: object) -> Rows:
    n = len(lr)
    columns = {
        "model": np.full(n, "alexnet"),
        "global_batch": np.full(n, 8192),
        "epochs": np.full(n, 100.0),
        "samples": np.full(n, 1_281_167),
        "base_lr": np.asarray(lr, dtype=float),
        "accuracy": np.asarray(accuracy, dtype=float),
        "status": np.full(n, "ok", dtype=object),
    }
    return Rows({**columns, **{k: np.asarray(v) for k, v in extra.items()}})


def sweep(seeds: int = 3, seed: int = 3, sd: float = 0.25) -> Rows:
    lr = np.repeat(LRS, seeds)
    return table(lr, surface(lr) + np.random.default_rng(seed).normal(0.0, sd, len(lr)))


def joined(*parts: Rows) -> Rows:
    names = parts[0].columns
    return Rows({name: np.concatenate([part[name] for part in parts]) for name in names})


def with_status(rows: Rows, status: str, accuracy: float = np.nan) -> Rows:
    n = len(rows)
    changed = {"status": np.full(n, status, dtype=object), "accuracy": np.full(n, accuracy)}
    return Rows({**rows.columns, **changed})


def one(rows: Rows, **options: object) -> LrInterval:
    (result,) = lr_intervals(rows, DELTA, **options)  # type: ignore[arg-type]
    return result


def test_edges_are_found_with_both_limits() -> None:
    result = one(sweep())
    # A - kL (xL - x)^2 = A - delta at xL - sqrt(delta/kL)
    low, high = 2 ** (-0.8 - np.sqrt(DELTA / 2)), 2 ** (0.9 + np.sqrt(DELTA / 6))
    assert result.low.kind is Kind.BOUNDED
    assert result.high.kind is Kind.BOUNDED
    assert low in result.low.interval
    assert high in result.high.interval
    assert result.inner.low < 1.0 < result.inner.high
    assert result.outer.low < result.inner.low < result.inner.high < result.outer.high
    assert result.plateau.interval.low < 60.0 < result.plateau.interval.high
    assert result.verdicts[-1].verdict == "out"
    assert result.add == ()


def test_order_of_rows_is_without_effect() -> None:
    rows = sweep()
    shuffled = rows.where(np.random.default_rng(0).permutation(len(rows)))
    assert to_jsonable(one(shuffled)) == to_jsonable(one(rows))


def test_a_parquet_round_trip_changes_no_bit(tmp_path: Path) -> None:
    rows = sweep()
    columns = {name: pa.array(column.tolist()) for name, column in rows.columns.items()}
    pq.write_table(pa.table(columns), tmp_path / "outcomes.parquet")
    read = pq.read_table(tmp_path / "outcomes.parquet")
    again = Rows({n: read[n].to_numpy(zero_copy_only=False) for n in read.column_names})
    assert to_jsonable(one(again)) == to_jsonable(one(rows))


def test_failed_rows_do_not_exist() -> None:
    rows = sweep()
    assert to_jsonable(one(joined(rows, with_status(rows, "failed")))) == to_jsonable(one(rows))


def test_units_of_the_learning_rate_only_scale_the_answer() -> None:
    rows = sweep()
    scaled = Rows({**rows.columns, "base_lr": rows["base_lr"] * 4.0})
    expected, found = one(rows), one(scaled)
    assert found.low.value == pytest.approx(4 * expected.low.value, rel=1e-9)
    assert found.high.interval.high == pytest.approx(4 * expected.high.interval.high, rel=1e-9)
    assert to_jsonable(expected.scaled(4.0).outer) == pytest.approx(to_jsonable(found.outer))


def test_a_table_written_twice_as_seeds_has_narrower_intervals() -> None:
    rows = sweep()
    before, after = one(rows), one(joined(rows, rows))
    for edge in ("low", "high"):
        width = [getattr(result, edge).interval.map(np.log2).width for result in (before, after)]
        assert 0.5 < width[1] / width[0] < 0.9
    assert after.plateau.value == pytest.approx(before.plateau.value, abs=0.1)


def test_diverged_rows_above_the_bracket_are_without_effect() -> None:
    rows = sweep()
    bracket = with_status(table(np.repeat([8.0], 3), np.zeros(3)), "diverged", 0.1)
    further = with_status(table(np.repeat([16.0, 32.0], 3), np.zeros(6)), "diverged", 0.1)
    first, second = one(joined(rows, bracket)), one(joined(rows, bracket, further))
    assert second.high.interval.high == pytest.approx(first.high.interval.high, rel=1e-6)
    assert second.high.value == pytest.approx(first.high.value, rel=1e-6)


def test_divergence_closes_a_plateau_that_would_be_open() -> None:
    lr = np.repeat(LRS, 3)
    rng = np.random.default_rng(1)
    flat = table(lr, 60 - 2 * np.maximum(0, -0.8 - np.log2(lr)) ** 2 + rng.normal(0, 0.25, len(lr)))
    open_ended = one(flat)
    assert open_ended.high.kind in (Kind.AT_LEAST, Kind.CENSORED_HIGH)
    assert open_ended.add
    cliff = with_status(table(np.repeat([8.0], 3), np.zeros(3)), "diverged", 0.1)
    closed = one(joined(flat, cliff))
    assert closed.high.kind is Kind.BOUNDED
    assert closed.high.interval.high == pytest.approx(8.0)
    assert LRS[-2] <= closed.high.interval.low <= LRS[-1] + 1e-9


def test_one_unlucky_seed_does_not_cut_the_interval() -> None:
    rows = sweep()
    status = rows["status"].copy()
    status[np.flatnonzero(rows["base_lr"] == 1.0)[0]] = "diverged"
    found = one(Rows({**rows.columns, "status": status}))
    assert found.high.interval.low > 1.0
    assert found.verdicts[4].diverged.diverged == 1


def test_pruned_runs_are_neither_in_nor_out() -> None:
    rows = sweep()
    status = rows["status"].copy()
    status[rows["base_lr"] == LRS[-1]] = "pruned"
    verdicts = one(Rows({**rows.columns, "status": status})).verdicts
    assert verdicts[-1].verdict == "undecided (pruned)"


def test_best_at_the_end_of_the_grid_asks_for_more() -> None:
    rows = sweep()
    rising = one(rows.where(rows["base_lr"] <= 0.6))
    assert rising.add[-1] == pytest.approx(1.0)


TOO_LITTLE = {
    "no row": sweep().where(np.zeros(30, dtype=bool)),
    "one point": sweep().where(np.array([0])),
    "two points": sweep().where(np.array([0, 3])),
    "all diverged": with_status(sweep(), "diverged", 0.1),
    "all pruned": with_status(sweep(), "pruned"),
    "all failed": with_status(sweep(), "failed"),
    "no seeds": sweep(seeds=1),
    "constant": table(np.repeat(LRS, 3), np.full(30, 60.0)),
}


@pytest.mark.parametrize("name", TOO_LITTLE)
def test_too_little_data_give_no_interval_and_no_traceback(name: str) -> None:
    for result in lr_intervals(TOO_LITTLE[name], DELTA):
        assert result.low.kind in (Kind.NOT_IDENTIFIED, Kind.NO_SIGMA, Kind.CENSORED_LOW)
        assert result.low.reason
        assert result.low.interval is None
        assert result.plateau.interval is None
        assert result.inner is None
        assert result.sigma is None
        json.dumps(to_jsonable(result), allow_nan=False)


def test_sigma_can_be_stated_where_there_are_no_seeds() -> None:
    result = one(sweep(seeds=1), sigma=0.25)
    assert result.sigma_source == "user"
    assert result.high.interval.low < result.high.value < result.high.interval.high


def test_a_stated_sigma_that_the_seeds_contradict_is_said_to_be() -> None:
    assert one(sweep(), sigma=0.25).sigma_note == ""
    assert one(sweep(seeds=1), sigma=0.001).sigma_note == ""
    note = one(sweep(), sigma=0.05).sigma_note
    assert note.startswith("sigma is stated as 0.05, the seeds' is 0.2")
    assert "p < 0.001" in note


@pytest.mark.parametrize("sigma", [0.001, 0.01, 0.05])
def test_no_lr_that_is_out_is_called_good(sigma: float) -> None:
    """0.5 and 2.83 lose more than delta by the seeds' means, a curve trusted too far has them in.

    The LRs between them are not out, so they stay.
    """
    result = one(sweep(), sigma=sigma)
    assert {0.5, LRS[7]} <= {v.lr for v in result.verdicts if v.verdict == "out"}
    assert (result.inner.low, result.inner.high) == pytest.approx((LRS[3], LRS[6]))


def test_edges_that_cross_are_refused() -> None:
    """A delta far below what 0.6 points of noise resolve: the estimates come out swapped."""
    (result,) = lr_intervals(sweep(seed=0, sd=0.6), 1e-6)
    assert result.low.kind is result.high.kind is Kind.NOT_IDENTIFIED
    assert "edges cross" in result.low.reason
    assert result.inner is None


def test_without_noise_no_plateau_lies_above_every_run() -> None:
    result = one(table(np.repeat(LRS, 3), np.full(30, 77.0)))
    assert result.plateau.value == pytest.approx(77.0, abs=1e-12)
    assert result.curve.height == result.plateau.value


def test_good_lrs_outside_the_edges_show_too_coarse_a_grid() -> None:
    """The truth is good up to 2.4; two octaves apart the curve ends near 1.1, below a good LR."""
    lr = np.repeat(2.0 ** (2.0 * np.arange(-4.0, 5.0) + 0.3), 3)
    noise = np.random.default_rng(0).normal(0.0, 0.25, len(lr))
    coarse = one(table(lr, np.maximum(surface(lr), 10.0) + noise))
    assert coarse.strays == (pytest.approx(2.0**0.3),)
    assert one(sweep()).strays == ()


def test_rows_of_two_optimizers_are_not_pooled() -> None:
    rows = sweep()
    mixed = Rows({**rows.columns, "optimizer": np.where(np.arange(len(rows)) % 2, "sgd", "lars")})
    with pytest.raises(OutcomeError, match=r"optimizer \(lars, sgd\)"):
        lr_intervals(mixed, DELTA)


def test_missing_columns_are_named() -> None:
    rows = sweep()
    bare = Rows({k: v for k, v in rows.columns.items() if k != "base_lr"})
    with pytest.raises(OutcomeError, match="no column 'base_lr'"):
        lr_intervals(bare, DELTA)


def test_widths_compare_only_where_both_grids_bracket() -> None:
    rows = sweep()
    whole = one(rows)
    assert 1.0 in width_ratio(whole, whole).interval
    part = one(rows.where(rows["base_lr"] <= 1.1))
    assert width_ratio(whole, part).kind is Kind.NOT_IDENTIFIED
