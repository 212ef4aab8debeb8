"""The critical batch on the page: its words, its lines, and that they mean the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from synthetic_outcomes import source

from lars_sweep.fit.analysis import FitOptions
from lars_sweep.outcomes.tables import arrow_schema
from lars_sweep.report.analyses import analyse_source
from lars_sweep.report.evidence import Evidence
from lars_sweep.report.inputs import completed
from lars_sweep.report.kinds.critical_batch import critical_batch_section
from lars_sweep.report.observations import observe
from lars_sweep.report.sections import Section


def section_of(table: pa.Table, noise: pa.Table | None = None) -> Section:
    given = source(table, noise=noise)
    curves = arrow_schema("curves").empty_table()
    return critical_batch_section(
        Evidence(
            observations=observe(completed(given), curves),
            analyses={"": analyse_source(given, FitOptions(kinds=("critical-batch", "batch")))},
            fixture="",
        )
    )


@pytest.fixture(scope="module")
def section() -> Section:
    """Seven batches around Bc = 2048, five lengths and three seeds each."""
    rng = np.random.default_rng(11)
    rows = []
    for batch in (2**k for k in range(8, 15)):
        for share in (0.35, 0.6, 1.0, 1.7, 3.0):
            epochs = round(624 * (batch + 2048) / 50_000 * share, 1)
            steps = np.ceil(50_000 * epochs / batch) / (1 + 2048 / batch)
            for seed in range(3):
                accuracy = 90 - 40 * np.exp(-steps / 300) + 0.25 * rng.standard_normal()
                rows.append(
                    {
                        "model": "net", "optimizer": "lars", "global_batch": batch,
                        "epochs": epochs, "samples": 50_000, "seed": seed,
                        "accuracy": float(accuracy),
                    }
                )  # fmt: skip
    return section_of(pa.Table.from_pylist(rows))


def test_at_b_half_the_drawn_fit_is_at_twice_the_drawn_law(section: Section) -> None:
    frame = section.drawings[0].frame
    half = float(frame[frame["what"] == "B_half"]["batch"].iloc[0])

    def steps(what: str) -> float:
        line = frame[frame["what"] == what].sort_values("batch")
        logs = np.interp(np.log(half), np.log(line["batch"]), np.log(line["steps"]))
        return float(np.exp(logs))

    assert steps("fit") / steps("small-batch law") == pytest.approx(2.0, rel=0.01)
    assert steps("fit") / steps("perfect scaling") < 1.9  # which starts at the smallest batch


def test_words_name_the_line_that_they_compare_with(section: Section) -> None:
    assert "twice the steps of the small-batch law are needed at batch" in section.verdict.sentence
    (note,) = section.verdict.notes
    assert "20 % more samples than the smallest batch tested are needed at batch" in note
    assert "perfect scaling" not in section.verdict.sentence + note
    caption = section.drawings[0].caption
    assert "Dashed: perfect scaling from the smallest batch tested" in caption
    assert "the small-batch law of the fit, Smin (B½/B)^α" in caption


def test_batches_none_of_which_reached_the_target_are_no_figure() -> None:
    rows = [
        {
            "model": "net", "optimizer": "lars", "global_batch": batch, "epochs": 10.0,
            "samples": 50_000, "seed": seed, "accuracy": 90 - 5 * lost + 0.1 * seed,
        }
        for lost, batch in enumerate((256, 512, 1024)) for seed in range(3)
    ]  # fmt: skip
    section = section_of(pa.Table.from_pylist(rows))
    assert not section.drawings
    (table,) = section.tables
    assert set(table.frame["censored"]) == {True}


CLEAR, DROWNED = (1.0, 1.1, 1.2, 1.3, 1.4), (1.0, 3.0, 1.5, 2.5, 1.9)


def noise_section(small: Sequence[float], large: Sequence[float]) -> Section:
    """Two batches of three seeds; micro_square is 2 and these at each of the measurements."""
    rows: list[dict[str, object]] = [
        {
            "trial_id": f"{batch} {seed}", "model": "net", "optimizer": "lars", "epochs": 10.0,
            "global_batch": batch, "samples": 50_000, "seed": seed, "accuracy": 80.0 + seed,
        }
        for batch in (64, 128)
        for seed in range(3)
    ]  # fmt: skip
    noise: list[dict[str, object]] = [
        {
            "trial_id": row["trial_id"], "step": 100, "measurement": number,
            "micro_batch": row["global_batch"], "micro_batches": 2, "micro_square": 2.0 + more,
            "mean_square": 2.0,
        }
        for row in rows
        for number, more in enumerate(small if row["global_batch"] == 64 else large)
    ]  # fmt: skip
    return section_of(
        pa.Table.from_pylist(rows), pa.Table.from_pylist(noise, schema=arrow_schema("noise"))
    )


def test_the_noise_scale_is_a_sentence_and_a_table() -> None:
    """(s - L)/(1/b - 1/2b) over 2L - s: 2b · 1.2 / 0.8 = 3 b."""
    section = noise_section(CLEAR, CLEAR)
    note = section.verdict.notes[-1]
    assert note.replace("\xa0", " ") == (
        "The gradient noise scale, near which McCandlish et al. expect the critical batch, lies "
        "between 192 (95 % interval 129 to 296) at batch 64, step 100 and 384 (95 % interval 258 "
        "to 592) at batch 128, step 100."
    )
    (table,) = section.tables
    assert table.name == "noise-scale"
    assert [row[1:5] for row in table.rows] == [("64", "10", "100", "3"), ("128", "10", "100", "3")]
    assert table.frame["noise_scale"].tolist() == pytest.approx([192, 384])


def test_a_noise_scale_without_an_upper_limit_is_called_so() -> None:
    section = noise_section(DROWNED, DROWNED)
    note = section.verdict.notes[-1]
    assert note == (
        "The gradient noise scale is not bounded by its measurements at 2 checkpoints: the mean "
        "gradient is not distinguishable from 0 at this batch; more of them at each would help."
    )
    assert {row[5] for row in section.tables[0].rows} != {"–"}


def test_where_it_lies_is_said_of_finite_intervals_only() -> None:
    note = noise_section(CLEAR, DROWNED).verdict.notes[-1]
    assert note.replace("\xa0", " ").endswith(
        "is 192 (95 % interval 129 to 296) at batch 64, step 100 where its interval is finite, "
        "which it is not at 1 of 2 checkpoints."
    )


def test_what_was_not_measured_is_not_told(section: Section) -> None:
    assert "noise" not in " ".join(section.verdict.notes)
    assert [table.name for table in section.tables] == ["steps-to-target-points"]
    assert noise_section((), ()).tables == ()
