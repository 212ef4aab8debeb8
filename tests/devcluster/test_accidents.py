"""Preemption, requeue, dead nodes and a dead controller, on the real daemons."""

from __future__ import annotations

import pytest
from clusterkit import Lab, Own, Take

from lars_sweep.cluster.jobs import State
from lars_sweep.cluster.scheduler import query_jobs
from lars_sweep.errors import SchedulerError

pytestmark = pytest.mark.slurm

# Says when it starts and when it is told to go; then it goes.
POLITE = """trap 'echo told; exit 0' USR2
echo started $SLURM_RESTART_COUNT
while :; do sleep 0.1; done"""
DEAF = "echo started $SLURM_RESTART_COUNT; sleep 600"


def preempt(lab: Lab) -> str:
    return lab.submit("sleep 1", "--partition=high", "--exclusive")


def test_preempted_with_grace_the_signal_comes_at_once(take: Take) -> None:
    lab = take(1)
    job = lab.submit(POLITE, "--partition=low", "--exclusive", "--signal=B:USR2@60", "--time=60")
    lab.output(job, "started")
    high = preempt(lab)
    lab.output(job, "told")
    lab.wait(high, State.COMPLETED)


def test_preempted_without_grace_runs_again(take: Take) -> None:
    lab = take(1)
    job = lab.submit(DEAF, "--partition=spot", "--exclusive")
    lab.output(job, "started")
    high = preempt(lab)
    waiting = lab.wait(job, State.REQUEUED)
    assert waiting.restarts == 1
    lab.wait(high, State.COMPLETED)
    again = lab.wait(job, State.RUNNING)
    assert again.earlier == (State.PREEMPTED,)
    lab.output(job, "started 1")


def test_preempted_for_good(take: Take) -> None:
    lab = take(1)
    job = lab.submit(DEAF, "--partition=spotkill", "--exclusive")
    lab.output(job, "started")
    preempt(lab)
    assert not lab.wait(job, State.PREEMPTED).state.live


def test_requeued_by_hand(take: Take) -> None:
    lab = take(1)
    job = lab.submit(DEAF)
    lab.output(job, "started")
    lab.cluster.run("scontrol", "requeue", job)
    lab.wait(job, State.REQUEUED)
    again = lab.wait(job, State.RUNNING)
    assert (again.restarts, again.earlier) == (1, (State.REQUEUED,))


def test_node_set_down_and_back(take: Take) -> None:
    lab = take(1)
    (node,) = lab.nodes
    job = lab.submit(DEAF)
    last = lab.submit(DEAF, "--no-requeue")
    lab.output(last, "started")
    lab.cluster.set_node(node, "down")
    lab.wait(job, State.REQUEUED)
    lab.wait(last, State.NODE_FAILED)
    lab.cluster.set_node(node, "resume")
    assert lab.wait(job, State.RUNNING).earlier == (State.NODE_FAILED,)


def test_node_loses_its_power(take: Take) -> None:
    lab = take(2)
    second = lab.nodes[1]
    job = lab.submit("srun sh -c 'echo started $(hostname); sleep 600'", "--no-requeue")
    lab.output(job, f"started {second}")
    lab.cluster.kill_node(second)
    # Only of these two nodes: tests beside this one kill theirs.
    assert {*lab.cluster.dead_daemons()} & {*lab.nodes} == {second}
    lab.wait(job, State.NODE_FAILED)  # SlurmdTimeout is 10 s, looked at in turns of a few seconds
    lab.cluster.start_node(second)
    assert not {*lab.cluster.dead_daemons()} & {*lab.nodes}


def test_node_boots_before_anybody_misses_it(take: Take) -> None:
    lab = take(1)
    (node,) = lab.nodes
    job, last = lab.submit(DEAF), lab.submit(DEAF, "--no-requeue")
    lab.output(last, "started")
    lab.cluster.kill_node(node)
    lab.cluster.start_node(node)
    lab.wait(last, State.NODE_FAILED)
    assert lab.wait(job, State.RUNNING).earlier == (State.NODE_FAILED,)


def away(lab: Lab, job: str) -> None:
    """Stops the controller, asks in vain, waits for the job's last word, starts it again."""
    lab.wait(job, State.RUNNING)
    lab.cluster.stop_controller()
    try:
        with pytest.raises(SchedulerError, match="squeue did not"):
            query_jobs([job])
        lab.output(job, "still here")
    finally:
        lab.cluster.start_controller()


def test_controller_away_for_a_while(own: Own) -> None:
    lab = own(nodes=1, accounting=False)
    job = lab.submit("sleep 5; echo still here; sleep 600")
    away(lab, job)
    assert lab.wait(job, State.RUNNING).restarts == 0


@pytest.mark.long
def test_job_ends_while_the_controller_is_away(own: Own) -> None:
    lab = own(nodes=1)
    job = lab.submit("srun sh -c 'sleep 5; echo still here'")
    away(lab, job)
    assert lab.wait(job, State.COMPLETED).exit_status == 0
