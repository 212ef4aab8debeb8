"""A damaged file of a run stops no command and loses no other trial: every kind, every damage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from clikit import Here
from runkit import evaluation, finish, make_run, outcomes_of, sampled, worker_of

from lars_sweep.errors import DamagedFile
from lars_sweep.outcomes.loose import publish_outcome
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import attempts, breaker, claims, launches, publish, workers
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.launches import Launch
from lars_sweep.rundir.layout import RunDir, open_run
from lars_sweep.study.asked import asked_points
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.canary import _record
from lars_sweep.worker.look import View
from lars_sweep.worker.order import WorkOrder

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda whole: b"",
    "truncated": lambda whole: whole[: len(whole) // 2],
    "no text": lambda whole: b"\xff\xfe\x00\x80" + whole,
    "zeros": lambda whole: bytes(len(whole)),
    "a list": lambda whole: b"[1, 2]",
    "an empty object": lambda whole: b"{}",
    "null": lambda whole: b"null",
    "another shape": lambda whole: whole.replace(b":", b':{"a":', 1).replace(b",", b"},", 1),
}


def outcome(run: RunDir) -> Path:
    """Finished, claimed by a worker of which nothing is left."""
    finished = outcomes_of(run)[0]
    claims.take(run.claims, finished.trial_id, 1, "lost")
    publish_outcome(run, finished)
    return run.outcome(finished.trial_id)


def claim(run: RunDir) -> Path:
    trial_id = load_plan(run).queue[0].trial_id
    claims.take(run.claims, trial_id, 1, "lost")
    return run.claims / f"{trial_id}.1"


def release(run: RunDir) -> Path:
    path = claim(run)
    taken = claims.read_claim(run.claims, path.stem, 1)
    assert taken is not None
    claims.release(run.claims, taken, "out of time", cause=Cause.TIMED_OUT)
    return path.with_name(f"{path.name}.released")


def log(run: RunDir) -> Path:
    path = run.attempt_log(claim(run).stem, 1)
    for step in (10, 20):
        attempts.append(path, asdict(evaluation(step, 50.0)))
    return path


def heartbeat(run: RunDir) -> Path:
    me = workers.this_worker("lost", job_id="1", executor="local")
    workers.beat(run.workers, me)
    return run.workers / "lost.json"


def launch(run: RunDir) -> Path:
    launches.record_intent(run, Launch(number=1, executor="local", profile="local", workers=1))
    return run.launches / "1.json"


def view(run: RunDir) -> Path:
    path = run.scheduler / "view.json"
    publish.replace(path, publish.to_json_bytes(asdict(View(asked_at=1.0))))
    return path


def canary(run: RunDir) -> Path:
    _record(run, "7", "")
    return run.path / "canary.json"


def streak(run: RunDir) -> Path:
    breaker.note_failure(run, "error", stop_after=5)
    return run.requests / "streak"


def turn(run: RunDir) -> Path:
    path = run.path / "parts" / "turn.json"
    me = workers.this_worker("lost", job_id="1", executor="local")
    publish.publish_new(path, publish.to_json_bytes(asdict(me)))
    return path


KINDS = (outcome, claim, release, log, heartbeat, launch, view, canary, streak, turn)
NAMED = (outcome, claim, release, heartbeat, launch, view, canary)
"""Those that `status` reads, and whose damage it therefore tells."""


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`resume` starts nobody, and no dead worker is waited for."""
    monkeypatch.setattr("lars_sweep.dispatch.submit.submit_workers", lambda *_, **__: None)
    monkeypatch.setenv("LARS_SWEEP_PACE", "1e9")


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_command_goes_on_and_every_trial_ends_once(
    cli: Here, run: RunDir, tmp_path: Path, kind: Callable[[RunDir], Path], damage: str
) -> None:
    path = kind(run)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    status = cli("status", run.path)
    assert status.status == 0
    assert "0/12 done" in status.out
    never_asked = kind is view and damage == "an empty object"  # which is a view, too
    assert (f"{path} is damaged" in status.err) == (kind in NAMED and not never_asked)
    collect = cli("collect", run.path, "--out", tmp_path / "o.parquet")
    assert (collect.status, "0 rows" in collect.err) == (0, True)
    assert cli("resume", run.path).status == 0
    finish(run)
    assert load_table(run, "outcomes", ["status"])["status"].to_pylist() == ["ok"] * 12
    assert breaker.why_broken(run) is None


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_outcome_is_set_aside_and_its_trial_runs_again(
    cli: Here, run: RunDir, damage: str
) -> None:
    path = outcome(run)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    damaged = path.read_bytes()
    done = cli("resume", run.path)
    aside = run.path / "set-aside" / f"outcomes-{path.name}"
    assert f"{path} is damaged: set aside as {aside}, its trial runs again" in done.err
    assert aside.read_bytes() == damaged
    assert not path.exists()
    said = claims.read_release(run.claims, path.stem, 1)
    assert said is not None
    assert (said.cause, said.reason) == (Cause.DISK, "its outcome was damaged")
    finish(run)
    rows = load_table(run, "outcomes", ["attempts"]).to_pylist()
    assert {row["trial_id"]: row["attempts"] for row in rows}[path.stem] == 2


def test_a_worker_that_seals_a_damaged_outcome_runs_its_trial_again(run: RunDir) -> None:
    path = outcome(run)
    path.write_bytes(b"")
    finish(run)
    assert load_table(run, "outcomes", ["status"]).num_rows == 12
    assert (run.path / "set-aside" / f"outcomes-{path.name}").exists()


def test_the_outcome_of_another_trial_is_none_of_this_one(cli: Here, run: RunDir) -> None:
    path = outcome(run)
    other = run.outcome("0" * 16)
    path.rename(other)
    assert f"{other} is damaged" in cli("status", run.path).err


def test_damaged_evaluations_are_left_out_of_the_curve(run: RunDir) -> None:
    path = log(run)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"step":10', b'"step":1\xff'))
    assert [entry["step"] for entry in attempts.read_attempt_log(path)] == [20]


def test_a_new_launch_does_not_take_the_number_of_a_damaged_record(run: RunDir) -> None:
    launch(run).write_bytes(b"")
    assert launches.read_launches(run) == []
    assert launches.last_launch(run) is None
    assert launches.next_number(run) == 2


def test_the_number_of_a_damaged_point_is_asked_again(tmp_path: Path) -> None:
    run = make_run(tmp_path, sampled("tpe", 4))
    trial_ids = [queued.trial_id for queued, _ in [taken(run)]]
    (path,) = run.points.iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    assert asked_points(run) == {}
    finish(run)
    (points,) = asked_points(run).values()
    assert [point.number for point in points] == [0, 1, 2, 3]
    assert (run.path / "set-aside" / f"points-{path.name}").read_bytes() == whole[:20]
    # Its random stream is the number's own, so even the point is the same.
    ids = load_table(run, "outcomes", ["trial_id"])["trial_id"].to_pylist()
    assert set(trial_ids) <= set(ids)
    assert len(ids) == 4


def taken(run: RunDir) -> tuple[object, object]:
    """What a worker takes first; it dies then."""
    worker = worker_of(run)
    found = worker._source.next()
    assert found is not None
    claims.drop(run.claims, found[0].trial_id)
    return found


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("command", ["status", "resume", "collect"])
def test_without_its_plan_a_run_says_so(
    cli: Here, run: RunDir, tmp_path: Path, command: str, damage: str
) -> None:
    path = run.path / "plan.json"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    more = ["--out", tmp_path / "o.parquet"] if command == "collect" else []
    done = cli(command, run.path, *more)
    assert done.status == 1
    assert done.err.startswith(f"error: {path} is damaged: put a copy of it back, or launch")


@pytest.mark.parametrize("key", ["strata", "queue", "spec", "facts"])
def test_a_plan_that_lacks_a_part_is_damaged(cli: Here, run: RunDir, key: str) -> None:
    path = run.path / "plan.json"
    content = publish.read_json(path)
    for wrong in (None, 7, [7], ["x"]):
        path.unlink()
        path.write_bytes(publish.to_json_bytes({**content, key: wrong}))
        done = cli("status", open_run(run.path).path)
        assert (done.status, done.out) == (1, "")
        assert f"{path} is damaged" in done.err


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_job_with_a_damaged_order_says_so(run: RunDir, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "order.json"
    WorkOrder(run=run.path, executor="slurm").save(path)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(DamagedFile, match=r"order\.json is damaged"):
        WorkOrder.load(path)
