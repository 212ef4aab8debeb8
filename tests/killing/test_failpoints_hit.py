"""A worker dies at each named point of the code; `resume` ends as if nothing had happened."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest
from killkit import resume, science, start, work_until
from runkit import files_in, finish, make_run, sampled

from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import claims
from lars_sweep.rundir.failpoints import FAILPOINTS
from lars_sweep.rundir.layout import RunDir
from lars_sweep.study.plan import load_plan

OF_A_WORKER = [
    *(f"{name}:{hit}" for name in ("claim-written", "claim-published") for hit in (1, 5)),
    *(f"{name}:{hit}" for name in ("mid-epoch", "outcome-written") for hit in (1, 5)),
    *(f"outcome-published:{hit}" for hit in (1, 5)),
    *(f"part-written:{hit}" for hit in (1, 2)),
    "part-published",
]
OF_A_LAUNCH = ["plan-written", "submit-recorded", "submitted"]


def die_at(failpoint: str, run: RunDir) -> None:
    process = start(work_until, failpoint, run.path)
    process.join()
    assert process.exitcode == -signal.SIGKILL, f"{failpoint} was not reached"


def test_every_failpoint_has_its_test() -> None:
    tested = {point.partition(":")[0] for point in OF_A_WORKER} | {*OF_A_LAUNCH, "point-published"}
    assert tested == set(FAILPOINTS)


@pytest.mark.parametrize("failpoint", OF_A_WORKER)
def test_killed_and_resumed_equals_undisturbed(tmp_path: Path, failpoint: str) -> None:
    undisturbed = make_run(tmp_path / "undisturbed")
    finish(undisturbed)
    run = make_run(tmp_path / "killed")
    die_at(failpoint, run)
    assert resume(run) == "no work left"
    assert science(run) == science(undisturbed)
    assert {row["trial_id"] for row in science(run)["outcomes"]} == {
        queued.trial_id for queued in load_plan(run).queue
    }
    assert claims.holdings(run.claims) == {}
    # What may be left: a temporary file, a part of curves without outcomes, a heartbeat.
    assert len(files_in(run)) <= len(files_in(undisturbed)) + 3


@pytest.mark.parametrize("failpoint", ["mid-epoch:2", "claim-published:2", "outcome-written:2"])
def test_a_trial_that_was_cut_off_counts_its_attempts(tmp_path: Path, failpoint: str) -> None:
    run = make_run(tmp_path)
    die_at(failpoint, run)
    resume(run)
    attempts = Counter(load_table(run, "outcomes", ["attempts"])["attempts"].to_pylist())
    assert attempts == {1: 11, 2: 1}


@pytest.mark.parametrize("failpoint", ["outcome-published:2", "part-written", "part-published"])
def test_a_trial_whose_outcome_is_out_does_not_run_again(tmp_path: Path, failpoint: str) -> None:
    run = make_run(tmp_path)
    die_at(failpoint, run)
    before = {row["trial_id"]: row for row in load_table(run, "outcomes").to_pylist()}
    assert before
    resume(run)
    after = {row["trial_id"]: row for row in load_table(run, "outcomes").to_pylist()}
    assert {trial_id: after[trial_id] for trial_id in before} == before


def test_killed_over_and_over(tmp_path: Path) -> None:
    undisturbed = make_run(tmp_path / "undisturbed")
    finish(undisturbed)
    run = make_run(tmp_path / "killed")
    for failpoint in OF_A_WORKER[1::2]:
        start(work_until, failpoint.partition(":")[0] + ":2", run.path).join()
    resume(run)
    assert science(run) == science(undisturbed)


@pytest.mark.parametrize(
    "failpoint", ["point-published:1", "point-published:3", "claim-published:2", "part-written:2"]
)
def test_an_adaptive_run_finishes_every_point_that_was_asked(
    tmp_path: Path, failpoint: str
) -> None:
    run = make_run(tmp_path, sampled("tpe", 4, seeds=2))
    die_at(failpoint, run)
    assert resume(run) == "no work left"
    rows = load_table(run, "outcomes", ["point", "params"]).to_pylist()
    assert Counter(row["point"] for row in rows) == dict.fromkeys(range(4), 2)
    assert len({row["params"] for row in rows}) == 4
