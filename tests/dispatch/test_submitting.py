"""Workers are brought up to the number wanted, however many launches there are at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from runkit import finish, in_parallel, make_run, until

from lars_sweep.cluster import layout as layout_module
from lars_sweep.cluster.loading import load_profile
from lars_sweep.cluster.profile import JobSection, Profile
from lars_sweep.dispatch.status import run_status
from lars_sweep.dispatch.stop import cancel
from lars_sweep.dispatch.submit import submit_workers
from lars_sweep.errors import RunError
from lars_sweep.outcomes.store import load_table
from lars_sweep.rundir import claims, publish, requests, workers
from lars_sweep.rundir.launches import Launch, last_launch, record_intent
from lars_sweep.rundir.layout import RunDir, open_run
from lars_sweep.rundir.workers import Worker, beat, is_gone, read_workers, this_worker
from lars_sweep.study.plan import load_plan
from lars_sweep.worker.logs import log_files


def _submit(path: Path, wanted: int, data_dir: Path | None = None) -> int:
    launched = submit_workers(
        open_run(path), load_profile("local"), wanted=wanted, data_dir=data_dir
    )
    return launched.workers if launched else 0


@pytest.fixture
def long(tmp_path: Path) -> Iterator[RunDir]:
    """A run of 2,000 no-op trials; its workers end with the test."""
    run = make_run(tmp_path, overrides=["space.base_lr={log = [0.001, 10], points = 500}"])
    yield run
    cancel(run)
    assert all(is_gone(worker) for worker in read_workers(run.workers))


def test_launches_at_once_start_the_workers_that_are_wanted_and_no_more(long: RunDir) -> None:
    started = in_parallel(_submit, [(long.path, 2)] * 4)
    assert sum(started) == 2
    until(lambda: run_status(long).workers_alive == 2)
    time.sleep(1.0)
    assert len(read_workers(long.workers)) == 2
    assert in_parallel(_submit, [(long.path, 2)]) == [0]


def test_more_workers_can_be_added(long: RunDir) -> None:
    assert in_parallel(_submit, [(long.path, 1)]) == [1]
    assert in_parallel(_submit, [(long.path, 2)]) == [1]
    until(lambda: run_status(long).workers_alive == 2)


def test_a_lost_worker_is_replaced(long: RunDir) -> None:
    in_parallel(_submit, [(long.path, 1)])
    until(lambda: run_status(long).finished > 0)
    _kill(long)
    until(lambda: run_status(long).workers_alive == 0)
    assert in_parallel(_submit, [(long.path, 1)]) == [1]
    until(lambda: run_status(long).workers_alive == 1)


def _kill(run: RunDir) -> None:
    import os
    import signal

    for worker in read_workers(run.workers):
        if not is_gone(worker):
            os.kill(worker.pid, signal.SIGKILL)


def test_status_is_right_at_once_after_a_kill(long: RunDir) -> None:
    in_parallel(_submit, [(long.path, 1)])
    until(lambda: run_status(long).finished > 0)
    before = run_status(long)
    assert (before.workers_alive, before.workers_lost) == (1, 0)
    _kill(long)
    until(lambda: all(is_gone(worker) for worker in read_workers(long.workers)))
    now = run_status(long)
    assert (now.workers_alive, now.workers_lost, now.count("running")) == (0, 1, 0)
    assert now.count("interrupted") <= 1
    assert now.finished >= before.finished
    assert now.eta_s is None


def test_cancel_stops_the_workers_and_keeps_what_is_done(long: RunDir) -> None:
    in_parallel(_submit, [(long.path, 2)])
    until(lambda: run_status(long).workers_alive == 2 and run_status(long).finished > 0)
    assert cancel(long) == 2
    status = run_status(long)
    assert (status.workers_alive, status.workers_lost) == (0, 0)
    assert (status.stopping, status.cancelled) == (False, True)
    assert 0 < status.finished < 2000
    assert {worker.state for worker in read_workers(long.workers)} <= {
        "ended: cancelled", "ended: preempted",
    }  # fmt: skip
    assert load_table(long, "outcomes").num_rows == status.finished


def test_cancel_ends_workers_also_where_the_request_cannot_be_written(
    long: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_parallel(_submit, [(long.path, 2)])
    until(lambda: run_status(long).finished > 0)

    def full(*_: object) -> None:
        raise RunError("the disk is full")

    with monkeypatch.context() as here:
        here.setattr(requests, "request_stop", full)
        with pytest.raises(RunError, match=r"workers were ended .* the disk is full"):
            cancel(long)
    assert run_status(long).workers_alive == 0


def test_cancel_right_after_launch_stops_workers_that_still_import(long: RunDir) -> None:
    in_parallel(_submit, [(long.path, 2)])
    assert read_workers(long.workers) == [], "they import for a second"
    assert cancel(long) == 2
    status = run_status(long)
    assert (status.workers_alive, status.workers_starting, status.workers_unreported) == (0, 0, 0)
    assert {worker.state for worker in read_workers(long.workers)} == {"ended: cancelled"}
    assert (status.stopping, status.cancelled) == (False, True)
    assert cancel(long) == 0, "repeating it finds nobody"
    assert run_status(long).cancelled


def test_a_worker_that_does_not_stop_in_time_is_killed(long: RunDir) -> None:
    in_parallel(_submit, [(long.path, 1)])
    began = time.monotonic()
    assert cancel(long, grace_s=0.1) == 1
    assert time.monotonic() - began < 5
    status = run_status(long)
    assert (status.workers_alive, status.workers_starting) == (0, 0)


def test_cancelling_a_finished_run_leaves_nothing_behind(run: RunDir) -> None:
    finish(run)
    assert cancel(run) == 0
    assert not requests.stop_requested(run)
    status = run_status(run)
    assert (status.stopping, status.cancelled) == (False, False)


def test_a_worker_submitted_into_a_cancelled_run_ends_at_once(run: RunDir) -> None:
    requests.request_stop(run, "cancelled")
    in_parallel(_submit, [(run.path, 1)])
    until(lambda: len(read_workers(run.workers)) == 1)
    until(lambda: run_status(run).workers_alive == 0)
    assert run_status(run).finished == 0


def test_logs_lie_in_one_folder_and_none_has_a_placeholder_for_its_name(run: RunDir) -> None:
    in_parallel(_submit, [(run.path, 1)])
    until(lambda: run_status(run).finished == 12 and not run_status(run).workers_alive)
    (worker,) = read_workers(run.workers)
    assert log_files(run, worker.job_id) == [run.logs / f"{worker.job_id}_0_log.out"]
    assert [path for path in run.path.rglob("*") if "%" in path.name] == []


def test_launches_are_numbered(long: RunDir) -> None:
    in_parallel(_submit, [(long.path, 1)])
    in_parallel(_submit, [(long.path, 2)])
    assert publish.names(long.launches) == ["1.json", "2.json"]
    first, second = (publish.read_json(long.launches / f"{n}.json") for n in (1, 2))
    assert first["job_ids"]
    assert second["job_ids"]
    assert set(first["job_ids"]) != set(second["job_ids"])  # type: ignore[call-overload]


def test_status_reckons_what_is_left_from_what_is_done(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    empty = run_status(run)
    assert (empty.device_h_left, empty.eta_s, empty.count("waiting")) == (None, None, 12)
    finish(run)
    done = run_status(run)
    assert (done.finished, done.device_h_left, done.count("waiting")) == (12, 0.0, 0)
    seconds = sum(load_table(run, "outcomes", ["device_s"])["device_s"].to_pylist())
    assert done.device_h == pytest.approx(seconds / 3600)


def test_status_reads_the_workers_records_once(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be thousands, and what it says of them must be of one moment."""
    dead = replace(this_worker("w", job_id="4711", executor="local"), pid_started=1)
    beat(run.workers, dead)
    claims.take(run.claims, load_plan(run).queue[0].trial_id, 1, dead.worker_id)
    launch = Launch(number=1, executor="local", profile="p", workers=1, job_ids=("4711",))
    assert record_intent(run, launch)
    reads: list[Path] = []

    def counted(directory: Path) -> Sequence[Worker]:
        reads.append(directory)
        return read_workers(directory)

    monkeypatch.setattr(workers, "read_workers", counted)
    status = run_status(run)
    assert (status.workers_lost, status.count("interrupted")) == (1, 1)
    assert reads == [run.workers]


def test_a_launch_remembers_where_its_data_lie(run: RunDir, tmp_path: Path) -> None:
    assert in_parallel(_submit, [(run.path, 1, tmp_path)]) == [1]
    launch = last_launch(run)
    assert launch is not None
    assert (launch.data_dir, launch.profile) == (str(tmp_path), "local")
    until(lambda: run_status(run).finished == 12 and not run_status(run).workers_alive)


def _environment_of(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_text()
    return dict(line.split("=", 1) for line in text.split("\0") if "=" in line)


def _submit_beside_gpus(path: Path, wanted: int, profile: Profile) -> tuple[str, ...] | None:
    """Submit in a process of its own, on a machine that seems to have two devices."""
    layout_module.local_gpus = lambda: ("0", "3")  # type: ignore[assignment]
    launched = submit_workers(open_run(path), profile, wanted=wanted)
    return launched.gpus if launched else None


def test_each_local_worker_has_a_gpu_of_its_own(long: RunDir) -> None:
    profile = load_profile("local")
    assert in_parallel(_submit_beside_gpus, [(long.path, 1, profile)]) == [("0",)]
    more = in_parallel(_submit_beside_gpus, [(long.path, 4, profile)])
    assert more == [("3", "0", "3")], "those that fewest have"
    until(lambda: run_status(long).workers_alive == 4)
    devices = [
        _environment_of(worker.pid)["CUDA_VISIBLE_DEVICES"] for worker in read_workers(long.workers)
    ]
    assert sorted(devices) == ["0", "0", "3", "3"]


def test_a_profile_that_says_cpu_shows_its_workers_no_gpu(long: RunDir) -> None:
    profile = Profile(name="x", executor="local", threads=1, job=JobSection(gpus_per_node=0))
    assert in_parallel(_submit_beside_gpus, [(long.path, 1, profile)]) == [()]
    until(lambda: run_status(long).workers_alive == 1)
    (worker,) = read_workers(long.workers)
    assert _environment_of(worker.pid)["CUDA_VISIBLE_DEVICES"] == ""
