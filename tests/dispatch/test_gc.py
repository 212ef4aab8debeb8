"""What `gc` removes: only what no living process and no reader can want."""

from __future__ import annotations

import os
import time
from pathlib import Path

from runkit import finish, outcomes_of

from lars_sweep.dispatch.gc import LEFT_BEHIND_S, collect_garbage
from lars_sweep.outcomes.loose import publish_outcome
from lars_sweep.outcomes.seal import seal_all
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir
from lars_sweep.rundir.workers import beat, this_worker

WEEK_S = 7 * 86_400.0


def aged(path: Path, seconds: float = LEFT_BEHIND_S + 60) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_a_finished_run_has_none(run: RunDir) -> None:
    finish(run)
    assert collect_garbage(run, older_than_s=WEEK_S).files == 0
    assert load_table(run, "outcomes").num_rows == 12


def test_unfinished_files_go_when_no_writer_can_live(run: RunDir) -> None:
    old, young = (run.claims / f"{publish.TEMPORARY_PREFIX}{name}" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    aged(old)
    assert collect_garbage(run, older_than_s=WEEK_S, dry_run=True).files == 1
    assert old.exists()
    assert collect_garbage(run, older_than_s=WEEK_S).size_bytes == 4
    assert (old.exists(), young.exists()) == (False, True)


def test_a_part_whose_sealer_died_before_its_outcomes_goes(run: RunDir) -> None:
    for outcome in outcomes_of(run):
        publish_outcome(run, outcome)
    seal_all(run)
    (whole,) = (run.parts("curves") / name for name in publish.names(run.parts("curves")))
    aged(whole)
    orphan = run.parts("curves") / "0123456789ab.parquet"
    orphan.write_bytes(whole.read_bytes())
    assert collect_garbage(run, older_than_s=WEEK_S).files == 0, "its sealer may live"
    aged(orphan)
    before = load_table(run, "curves")
    assert collect_garbage(run, older_than_s=WEEK_S).files == 1
    assert not orphan.exists()
    assert load_table(run, "curves") == before


def test_checkpoints_of_finished_trials_go(run: RunDir) -> None:
    finish(run)
    done = load_table(run, "outcomes", ["trial_id"])["trial_id"][0].as_py()
    (run.checkpoint_dir(done, 1) / "1.pt").write_bytes(b"weights")
    (run.checkpoint_dir("f" * 16, 1) / "1.pt").write_bytes(b"weights")
    assert collect_garbage(run, older_than_s=WEEK_S, dry_run=True).files == 1
    assert run.checkpoint_dir(done, 1).exists()
    assert collect_garbage(run, older_than_s=WEEK_S).files == 1
    assert not run.checkpoints(done).exists(), "folders are inodes too"
    assert (run.checkpoints("f" * 16) / "1" / "1.pt").exists()


def test_logs_of_a_worker_at_work_stay_however_old(run: RunDir) -> None:
    mine, gone = (run.logs / str(pid) / f"{pid}_0_log.out" for pid in (4711, 4712))
    for log in (mine, gone):
        log.parent.mkdir()
        log.write_text("a line")
        aged(log, WEEK_S + 60)
    beat(run.workers, this_worker("w", job_id="4711", executor="local"))
    assert collect_garbage(run, older_than_s=WEEK_S).files == 1
    assert (mine.exists(), gone.exists()) == (True, False)
