"""Many workers at once, some of them killed: each trial once, each reader content."""

from __future__ import annotations

import logging
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from killkit import resume, science, start, work
from runkit import CurveTrainer, finish, in_parallel, make_run, worker_of

from lars_sweep.dispatch.status import run_status
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import claims, workers
from lars_sweep.rundir.layout import open_run
from lars_sweep.spec.trainer import Control, TrialResult
from lars_sweep.spec.trial import TrialSpec
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.fate import Fates
from lars_sweep.worker.look import View
from lars_sweep.worker.take import TrialSource


def _many(points: int) -> list[str]:
    return [f"space.base_lr={{log = [0.001, 10], points = {points}}}"]


def _take_all(path: Path, me: int) -> list[str]:
    run = open_run(path)
    source = TrialSource(run, load_plan(run), f"worker-{me}", fates=lambda: Fates(run, View()))
    taken = []
    while (found := source.next()) is not None:
        taken.append(found[0].trial_id)
    return taken


def test_sixteen_processes_take_each_of_two_thousand_trials_once(tmp_path: Path) -> None:
    run = make_run(tmp_path, overrides=_many(500))
    planned = [queued.trial_id for queued in load_plan(run).queue]
    assert len(planned) == 2000
    taken = in_parallel(_take_all, [(run.path, me) for me in range(16)])
    assert Counter(trial_id for mine in taken for trial_id in mine) == Counter(planned)
    assert sum(bool(mine) for mine in taken) > 8  # it was a race


def test_random_kills_change_nothing(tmp_path: Path) -> None:
    undisturbed = make_run(tmp_path / "undisturbed", overrides=_many(60))
    finish(undisturbed)
    run = make_run(tmp_path / "killed", overrides=_many(60))
    draw = random.Random(os.environ.get("PYTEST_RANDOM_KILLS", "1"))
    team = [start(work, run.path) for _ in range(4)]
    kills = 0
    while any(process.is_alive() for process in team) and kills < 30:
        time.sleep(draw.uniform(0.02, 0.2))
        index = draw.randrange(len(team))
        if team[index].is_alive():
            kills += 1
            team[index].kill()
            team[index].join()
        team[index] = start(work, run.path)
    for process in team:
        process.join()
    assert kills >= 3
    resume(run)
    assert science(run) == science(undisturbed)
    assert claims.holdings(run.claims) == {}


def test_a_reader_sees_no_half_written_state(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path, overrides=_many(100))
    team = [start(work, run.path) for _ in range(3)]
    finished = 0
    looks = 0
    with caplog.at_level(logging.WARNING):
        while any(process.is_alive() for process in team):
            rows = load_table(run, "outcomes", ["status"])
            ids = rows["trial_id"].to_pylist()
            curves = set(load_table(run, "curves", [])["trial_id"].to_pylist())
            status = run_status(run)
            assert len(set(ids)) == len(ids) >= finished
            assert set(ids) <= curves
            assert len(ids) <= status.finished <= status.trials == 400
            assert (
                status.finished
                + status.count("running")
                + status.count("interrupted")
                + (status.count("waiting"))
                == 400
            )
            finished = len(ids)
            looks += 1
    assert looks > 5
    assert caplog.records == []
    assert run_status(run).finished == 400


class Hangs(CurveTrainer):
    """Another worker takes the trial over in mid-trial: this one was thought to be dead."""

    def __init__(self, path: Path) -> None:
        super().__init__(lambda trial: (1.0, 2.0))
        self._path = path

    def train(self, trial: TrialSpec, control: Control) -> TrialResult:
        run = open_run(self._path)
        if not claims.attempts(run.claims, trial.trial_id) > 1:
            claims.take(run.claims, trial.trial_id, 2, "successor")
        return super().train(trial, control)


def test_a_superseded_attempt_stops_and_leaves_no_outcome(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(tmp_path)
    worker_of(run, Hangs(run.path)).work()
    assert load_table(run, "outcomes").num_rows == 0
    holdings = claims.holdings(run.claims)
    assert {(h.attempt, h.released) for h in holdings.values()} == {(2, False)}
    assert len(holdings) == 12
    assert not list(run.claims.glob("*.released"))
    assert "attempt 1 superseded" in caplog.text


def test_a_superseded_attempt_that_finishes_late_changes_nothing(tmp_path: Path) -> None:
    """Its successor has finished the trial and sealed it away before it comes to its end."""
    run = make_run(tmp_path, overrides=["space.base_lr=0.1", "seeds.count=1"])
    queued = load_plan(run).queue[0]

    def overtaken(trial: TrialSpec, number: int) -> None:
        if number == 2 and trial.trial_id == queued.trial_id:
            claims.take(run.claims, trial.trial_id, 2, "gone")
            resume(run)  # the holder of attempt 2 never reported in: it is not known to be dead
            claim = claims.read_claim(run.claims, trial.trial_id, 2)
            assert claim is not None
            claims.release(run.claims, claim, "given back")
            resume(run)

    worker_of(run, CurveTrainer(at_evaluation=overtaken)).work()
    rows = load_table(run, "outcomes").to_pylist()
    assert len(rows) == 2
    assert {row["attempts"] for row in rows if row["trial_id"] == queued.trial_id} == {3}
    assert list(run.outcomes.iterdir()) == list(run.claims.iterdir()) == []


def test_a_dead_workers_trial_is_taken_over_at_once(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    process = start(_hold_first, run.path)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert run_status(run).count("interrupted") == 1
    assert run_status(run).workers_lost == 1
    finish(run)
    assert run_status(run).finished == 12


def _hold_first(path: Path) -> None:
    run = open_run(path)
    me = workers.beat(run.workers, workers.this_worker("w", job_id="1", executor="local"))
    claims.take(run.claims, load_plan(run).queue[0].trial_id, 1, me.worker_id)
    os.kill(os.getpid(), signal.SIGKILL)
