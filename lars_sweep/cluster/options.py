"""The long options of sbatch that a profile may pass on, and those that it may not."""

from __future__ import annotations

SBATCH_OPTIONS = frozenset((
    "acctg-freq", "bb", "bbf", "begin", "comment", "consolidate-segments", "container",
    "container-id", "contiguous", "core-spec", "cores-per-socket", "cpu-freq", "deadline",
    "delay-boot", "distribution", "exclude", "export", "export-file", "extra", "extra-node-info",
    "get-user-env", "gpu-bind", "gpu-freq",
    "gpus", "gpus-per-socket", "gpus-per-task", "gres", "gres-flags", "hint", "ignore-pbs",
    "input", "kill-on-invalid-dep", "licenses", "mail-type", "mail-user", "mcs-label",
    "mem-bind", "mem-per-cpu", "mincpus", "network", "nice", "no-kill", "nodefile", "nodelist",
    "ntasks-per-core", "ntasks-per-gpu", "ntasks-per-socket", "oom-kill-step", "overcommit",
    "oversubscribe", "power", "prefer", "priority", "profile", "propagate", "reboot",
    "reservation", "resv-ports", "segment", "sockets-per-node", "spread-job", "spread-segments",
    "stepmgr", "switches", "thread-spec", "threads-per-core", "time-min", "tmp", "tres-bind",
    "tres-per-task", "use-min-nodes", "wait-all-nodes", "wckey",
))  # fmt: skip
"""From sbatch's manual, SLURM 22.05 to 25.05; without the options that have no place in a file."""

OWN_KEYS = {
    "account": "job.account",
    "constraint": "job.constraint",
    "cpus-per-gpu": "job.cpus_per_gpu",
    "cpus-per-task": "job.cpus_per_task",
    "exclusive": "job.exclusive",
    "gpus-per-node": "job.gpus_per_node and job.gpu_type",
    "mem": "job.mem_gib",
    "mem-per-gpu": "job.mem_per_gpu_gib",
    "nodes": "job.nodes",
    "no-requeue": "preemption.requeue",
    "ntasks-per-node": "job.tasks_per_node",
    "partition": "job.partition",
    "qos": "job.qos",
    "requeue": "preemption.requeue",
    "signal": "preemption.signal and preemption.notice_s",
    "time": "job.time_limit_min",
}
"""Options that a profile has a key of its own for."""

SET_BY_LAUNCH = frozenset((
    "array", "batch", "chdir", "dependency", "error", "gid", "hold", "job-name", "ntasks",
    "open-mode", "output", "parsable", "quiet", "test-only", "uid", "verbose", "wait", "wrap",
))  # fmt: skip
"""Options that would break what ``launch`` relies on."""

ELSEWHERE = frozenset(("cluster-constraint", "clusters"))
"""Options that send jobs to another cluster than the one that ``status`` asks."""
