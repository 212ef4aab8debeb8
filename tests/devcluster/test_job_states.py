"""Every way a job can end or wait, made to happen, and read back by the scheduler queries."""

from __future__ import annotations

import pytest
from clusterkit import Own, Take
from devcluster.configuration import limits_memory
from devcluster.settings import DevClusterError

from lars_sweep.cluster.jobs import State
from lars_sweep.cluster.scheduler import query_jobs
from lars_sweep.errors import SchedulerError

pytestmark = pytest.mark.slurm

EAT_MEMORY = "python3 -c 'held = b\"x\" * 300_000_000; import time; time.sleep(60)'"


def test_ends_of_a_job_are_told_apart(take: Take) -> None:
    lab = take(1)
    fine = lab.submit("exit 0")
    status = lab.submit("exit 3")
    killed = lab.submit("srun sh -c 'kill -9 $$'")
    assert lab.wait(fine, State.COMPLETED).exit_status == 0
    assert lab.wait(status, State.FAILED).exit_status == 3
    assert lab.wait(killed, State.FAILED).exit_status == 9, "a shell's 128 + 9, less 128"
    assert lab.state(fine).nodes == lab.nodes[0]


def test_cancelled_while_running_and_while_waiting(take: Take) -> None:
    lab = take(1)
    running, waiting = lab.submit("sleep 60"), lab.submit("true", "--hold")
    lab.wait(running, State.RUNNING)
    assert lab.state(waiting).reason == "JobHeldUser"
    lab.cluster.run("scancel", running, waiting)
    assert lab.wait(running, State.CANCELLED).nodes == lab.nodes[0]
    assert lab.wait(waiting, State.CANCELLED).reason == ""


@pytest.mark.parametrize("launcher", ["srun ", ""])
def test_out_of_host_memory(take: Take, launcher: str) -> None:
    assert limits_memory(), "needs the cgroup v1 memory controller: nothing else kills here"
    lab = take(1)
    job = lab.submit(launcher + EAT_MEMORY, "--mem=100M")
    lab.wait(job, State.OUT_OF_MEMORY)


@pytest.mark.long
def test_time_limit_of_a_job_that_does_not_listen(take: Take) -> None:
    lab = take(1)
    job = lab.submit("sleep 600", "--time=1")
    lab.wait(job, State.TIMED_OUT)


def test_a_dependency_that_failed_keeps_its_successor_waiting(take: Take) -> None:
    lab = take(1)
    failed = lab.submit("exit 1")
    successor = lab.submit("true", f"--dependency=afterok:{failed}")
    lab.wait(failed, State.FAILED)
    assert lab.wait(successor, State.PENDING).reason in ("Dependency", "DependencyNeverSatisfied")


def test_array_tasks_one_by_one(take: Take) -> None:
    lab = take(1)
    array = lab.submit("sleep 60", "--array=0-4%2")
    lab.wait(f"{array}_1", State.RUNNING)
    tasks = query_jobs([array])
    assert list(tasks) == [f"{array}_{i}" for i in range(5)]
    assert [task.state for task in tasks.values()] == 2 * [State.RUNNING] + 3 * [State.PENDING]
    assert tasks[f"{array}_4"].reason == "JobArrayTaskLimit"
    lab.cluster.run("scancel", f"{array}_0")
    lab.wait(f"{array}_0", State.CANCELLED)
    assert lab.state(f"{array}_1").state is State.RUNNING
    lab.cluster.run("scancel", array)
    for task in tasks:
        lab.wait(task, State.CANCELLED)


def test_ranks_see_their_node_and_their_share_of_gpus(take: Take) -> None:
    lab = take(2)
    show = "echo $SLURM_PROCID $(hostname) $CUDA_VISIBLE_DEVICES; getent hosts $(hostname)"
    job = lab.submit(f"srun sh -c '{show}'; echo done", "--ntasks-per-node=2", "--gpus-per-node=2")
    lines = lab.output(job, "done").splitlines()
    ranks = sorted(line.split() for line in lines if line[0].isdigit() and "127" not in line)
    assert [(rank, node) for rank, node, _ in ranks] == [
        (str(rank), lab.nodes[rank // 2]) for rank in range(4)
    ]
    assert all(len(gpus.split(",")) == 2 for *_, gpus in ranks)
    assert sum(line.startswith("127.0.0.1") for line in lines) == 4, "node names resolve"


def test_a_submit_limit_refuses_the_eleventh_job(take: Take) -> None:
    lab = take(1)
    with pytest.raises(DevClusterError, match="QOSMaxSubmitJobPerUserLimit"):
        lab.submit("true", "--qos=few", "--array=0-10", "--hold")


def test_more_than_a_node_has_is_refused(take: Take) -> None:
    lab = take(1)
    with pytest.raises(DevClusterError, match="Requested node configuration is not available"):
        lab.submit("true", "--gpus-per-node=5")


def test_a_job_nobody_knows(take: Take) -> None:
    lab = take(1)
    job = lab.submit("sleep 60")
    states = query_jobs(["1", "2_3", job])
    assert list(states) == ["1", "2_3", job]
    assert [state.state for state in states.values()][:2] == [State.UNKNOWN, State.UNKNOWN]
    assert lab.state("1").state is State.UNKNOWN, "squeue fails when asked about it alone"


def test_without_accounting_squeue_is_enough(own: Own) -> None:
    lab = own(nodes=1, accounting=False, max_array_size=10)
    fine, failed = lab.submit("true"), lab.submit("exit 3")
    array = lab.submit("sleep 60", "--array=0-9%1")
    lab.wait(fine, State.COMPLETED)
    ended = lab.wait(failed, State.FAILED)
    assert (ended.reason, ended.exit_status) == ("NonZeroExitCode", None)
    lab.wait(f"{array}_0", State.RUNNING)
    assert len(query_jobs([array])) == 10
    with pytest.raises(DevClusterError, match="Invalid job array specification"):
        lab.submit("true", "--array=0-10")


def test_no_answer_is_no_death(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", "/nonexistent/slurm.conf")
    with pytest.raises(SchedulerError, match="squeue did not answer within 1 s"):
        query_jobs(["1"], timeout_s=1)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SchedulerError, match="is this a node of the cluster"):
        query_jobs(["1"])
