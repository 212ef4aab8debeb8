"""SLURM's reasons in plain words, and what to do about each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """What a reason means and what helps."""

    meaning: str
    action: str
    """Empty: nothing is wrong, it only takes time."""
    never: bool = False
    """It waits for what will not come."""


SUCCESSOR = "JobArrayTaskLimit"
"""Of all tasks of a worker's array but one: no sign of a queue that is full."""

_LIMIT = "a limit of your account or QOS is reached; it starts when others of your jobs end"

REASONS: dict[str, Advice] = {
    "None": Advice("the scheduler has not looked at it yet", ""),
    "Priority": Advice("other jobs go first", ""),
    "Resources": Advice("waits until enough nodes are free", "fewer nodes or GPUs start sooner"),
    SUCCESSOR: Advice("a successor: it starts when the job before it ends", ""),
    "BeginTime": Advice("waits out SLURM's pause after a requeue, up to two minutes", ""),
    "COMPLETING": Advice("over; SLURM waits for its last processes", ""),
    "CONFIGURING": Advice("its nodes are being made ready", ""),
    "SUSPENDED": Advice("stopped by SLURM to let another job run", ""),
    "REQUEUE_HOLD": Advice("requeued and held", "`scontrol release JOB`"),
    "Dependency": Advice("the canary has not trained its two steps yet", ""),
    "DependencyNeverSatisfied": Advice(
        "the job that it waits for failed, so it will never start",
        "`lars-sweep cancel`, then `lars-sweep resume`",
        True,
    ),
    "JobHeldUser": Advice("held by you", "`scontrol release JOB`"),
    "JobHeldAdmin": Advice(
        "held by SLURM or an administrator, often after failing to start several times",
        "`scontrol show job JOB`, then `scontrol release JOB` or ask the administrators",
    ),
    "ReqNodeNotAvail": Advice(
        "its nodes are down, drained or reserved for maintenance that begins before its time limit",
        "a shorter `time_limit_min`; `sinfo -R` tells why nodes are down",
    ),
    "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions": (
        Advice("its nodes are down, drained or taken by a partition of higher priority", "")
    ),
    "PartitionDown": Advice("the partition takes no jobs now", "another `partition`"),
    "PartitionTimeLimit": Advice(
        "longer than the partition allows, so it will never start",
        "a shorter `time_limit_min`",
        True,
    ),
    "PartitionNodeLimit": Advice(
        "more nodes than the partition has, so it will never start", "fewer `nodes`", True
    ),
    "BadConstraints": Advice(
        "no node can satisfy it, so it will never start", "`constraint`", True
    ),
    "QOSMaxJobsPerUserLimit": Advice(_LIMIT, ""),
    "QOSMaxSubmitJobPerUserLimit": Advice(_LIMIT, "`limits.max_submit`"),
    "AssocMaxJobsLimit": Advice(_LIMIT, ""),
    "AssocGrpGRES": Advice(_LIMIT, ""),
    "AssocGrpGRESMinutes": Advice("the account's GPU budget is spent", "another `account`"),
    "AssocGrpCPUMinutesLimit": Advice("the account's budget is spent", "another `account`"),
    "TimeLimit": Advice("reached its time limit", "the successor or `lars-sweep resume` goes on"),
    "NonZeroExitCode": Advice("ended with an error", "`lars-sweep logs RUN TRIAL`"),
    "OutOfMemory": Advice("used more host memory than it asked for", "raise `mem_gib`"),
    "NodeDown": Advice("its node died", "the trial goes on elsewhere"),
}


def explain(reason: str) -> Advice:
    """Advice for SLURM's word; an unknown word stands for itself."""
    # Some come with details: "launch failed requeued held", "ReqNodeNotAvail, Reserved for ...".
    if reason.startswith("launch failed requeued held"):
        return REASONS["JobHeldAdmin"]
    known = REASONS.get(reason) or REASONS.get(reason.split(",")[0])
    return known or Advice(f"SLURM says {reason!r}", "`scontrol show job JOB`")
