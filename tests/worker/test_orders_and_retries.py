"""What a job is told, what it counts, and when enough is enough."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lars_sweep.cluster.profile import PreemptionSection, RetrySection
from lars_sweep.rundir import breaker, nodes, requests
from lars_sweep.rundir.causes import Cause
from lars_sweep.rundir.claims import Release
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.trainer import Signal
from lars_sweep.worker.ending import STARTED, JobEnd
from lars_sweep.worker.order import WorkOrder
from lars_sweep.worker.place import Place, slurm_job_id
from lars_sweep.worker.retry import may_retry
from lars_sweep.worker.sharing import alone


def test_an_order_survives_its_file(tmp_path: Path) -> None:
    order = WorkOrder(
        run=tmp_path,
        executor="slurm",
        data_dir=tmp_path / "data",
        threads=3,
        time_limit_s=60.0,
        import_path=("a", "b"),
        preemption=PreemptionSection(keep_s=7),
        retry=RetrySection(killed=9),
    )
    order.save(tmp_path / "order.json")
    assert WorkOrder.load(tmp_path / "order.json") == order


def ended(*causes: Cause) -> list[Release]:
    return [Release(cause=cause, reason="", at=0.0) for cause in causes]


@pytest.mark.parametrize(
    ("causes", "again"),
    [
        ([], True),
        ([Cause.PREEMPTED] * 50, True),
        ([Cause.TIMED_OUT, Cause.REQUEUED, Cause.CANCELLED, Cause.DISK] * 9, True),
        ([Cause.KILLED] * 2, True),
        ([Cause.KILLED] * 3, False),
        ([Cause.KILLED, Cause.PREEMPTED, Cause.KILLED, Cause.HANG, Cause.HANG], True),
        ([Cause.OUT_OF_MEMORY_HOST], True),
        ([Cause.OUT_OF_MEMORY_HOST] * 2, False),
        ([Cause.OUT_OF_MEMORY_CUDA], False),
        ([Cause.NODE_FAILED] * 4, False),
    ],
)
def test_each_cause_has_its_own_number_of_retries(causes: list[Cause], again: bool) -> None:
    assert may_retry(ended(*causes), RetrySection()) is again


def test_the_circuit_breaker_counts_one_kind_in_a_row(run: RunDir) -> None:
    for kind in ("a", "a", "b", "b"):
        breaker.note_failure(run, kind, stop_after=3)
    assert breaker.why_broken(run) is None
    breaker.note_success(run)
    for _ in range(2):
        breaker.note_failure(run, "b", stop_after=3)
    assert breaker.why_broken(run) is None
    breaker.note_failure(run, "b", stop_after=3)
    assert breaker.why_broken(run) == "3 attempts in a row ended with: b"
    requests.withdraw_stop(run)
    assert breaker.why_broken(run) is None


def test_a_node_is_excluded_after_its_second_failure(run: RunDir) -> None:
    assert nodes.note_failure(run, ["n1", "n10"], "t.1", exclude_after=2) == set()
    assert nodes.note_failure(run, ["n1"], "t.1", exclude_after=2) == set(), "the same attempt"
    assert nodes.note_failure(run, ["n1"], "t.2", exclude_after=2) == {"n1"}
    assert nodes.excluded(run) == {"n1"}


def test_imports_count_towards_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert JobEnd(100.0)() is Signal.GO_ON
    monkeypatch.setenv(STARTED, str(time.time() - 95))
    assert JobEnd(100.0)() is Signal.OUT_OF_TIME


def test_where_slurm_says_a_job_is() -> None:
    environment = {
        "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_MAX": "9",
        "SLURM_RESTART_COUNT": "3", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_JOB_ID": "9",
    }  # fmt: skip
    assert Place.of_slurm(environment) == Place(restarts=3, nodes="n[1-2]", last=False)
    assert Place.of_slurm({**environment, "SLURM_ARRAY_TASK_ID": "9"}).last
    assert slurm_job_id(environment) == "7_2"
    assert slurm_job_id({"SLURM_JOB_ID": "9"}) == "9"


def test_ranks_that_share_gpus_get_one_each() -> None:
    for rank, gpu in enumerate(["0", "0", "3", "3"]):
        environment = {
            "SLURM_LOCALID": str(rank), "SLURM_PROCID": str(rank), "SLURM_STEP_NUM_TASKS": "4",
            "CUDA_VISIBLE_DEVICES": "0,3",
        }  # fmt: skip
        assert alone(2, environment) == f"r{rank}-"
        assert environment["CUDA_VISIBLE_DEVICES"] == gpu
        assert "SLURM_STEP_NUM_TASKS" not in environment
