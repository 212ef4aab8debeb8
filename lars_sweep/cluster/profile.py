# No `from __future__ import annotations`: pydantic reads the hints at run time.
"""What a profile says: where workers run, with what, and what to do when one fails.

The docstrings below are the documentation of the keys (slurm/README.md is checked against them).
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

Count = Annotated[int, Field(ge=0)]
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\r\n]*$")]
"""On one line: what follows a line break in a batch script is another line of it."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
"""Of a shell variable: others cannot be exported, and the job would go on without them."""


class Section(BaseModel):
    """A table of the profile."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


class JobSection(Section):
    """What one worker asks SLURM for; a worker is one job and runs many trials."""

    partition: Text | None = None
    """Default: the cluster's."""
    account: Text | None = None
    """Who is charged. Default: yours."""
    qos: Text | None = None
    """Default: the partition's."""
    constraint: Text | None = None
    """Node features, as in ``"a100&nvlink"``."""
    nodes: PositiveInt = 1
    """Nodes of one worker; all its GPUs train one trial at a time, data-parallel."""
    gpus_per_node: Count = 0
    """0: train on the CPU. Locally, unless set, each worker gets one of this machine's CUDA devices
    for itself, if there are any."""
    gpu_type: Text | None = None
    """As the site names it, as in ``"h100"``. Default: any."""
    tasks_per_node: PositiveInt | None = None
    """Ranks per node on the CPU, default 1. With GPUs there is one rank per GPU."""
    cpus_per_task: PositiveInt | None = None
    """CPU cores of each rank. Default: the site's, usually 1."""
    cpus_per_gpu: PositiveInt | None = None
    """The same, counted by GPU."""
    mem_gib: PositiveFloat | None = None
    """Host memory of each node. Default: the site's."""
    mem_per_gpu_gib: PositiveFloat | None = None
    """The same, counted by GPU."""
    time_limit_min: PositiveInt = 240
    """Of one worker, not of the sweep: at its end a worker saves its trial and a successor goes on.
    Short limits start sooner."""
    exclusive: bool = False
    """No other jobs on the worker's nodes."""


class PreemptionSection(Section):
    """How a worker learns that it must go, and what becomes of its trial."""

    signal: Literal["USR1", "USR2", "TERM"] = "USR2"
    """Sent before the time limit and, where the site allows it, before a preemption."""
    notice_s: PositiveInt = 120
    """How long before the time limit; a step, a checkpoint and up to 60 s of SLURM's own slack
    must fit."""
    requeue: bool = True
    """Let SLURM queue a preempted worker again."""
    keep_s: Count = 600
    """A preempted trial waits this long for its own worker; then anyone takes it."""


class EnvironmentSection(Section):
    """What a job finds when it starts."""

    python: Text | None = None
    """Interpreter in the job. Default: the one that runs ``lars-sweep launch``."""
    setup: tuple[str, ...] = ()
    """Shell lines run before it, as in ``"module load cuda"``; ``$VARIABLES`` are expanded."""
    variables: dict[Name, str] = Field(default_factory=dict)
    """Environment variables, taken literally: ``NCCL_IB_HCA = "mlx5"``."""
    container_image: Text | None = None
    """A pyxis image, as in ``"/images/lars.sqsh"``; lars-sweep must be installed in it."""
    container_mounts: tuple[Text, ...] = ()
    """As in ``"/scratch:/scratch"``; the run directory and the data must be among them."""


class CommunicationSection(Section):
    """How the ranks of one worker talk."""

    backend: Literal["nccl", "gloo"] | None = None
    """Default: nccl with GPUs, gloo without."""
    interface: Text | None = None
    """Network interface, as in ``"ib0"``. Default: the library's guess."""


class DataSection(Section):
    """How data reach the compute node."""

    stage: Text | None = None
    """Folder on the node's own disk, as in ``"$SLURM_TMPDIR"``: each node copies the data there
    once and checks the copy. Default: data are read where they are."""


class LimitsSection(Section):
    """Limits of the site that SLURM enforces at submission."""

    max_array_size: Annotated[int, Field(ge=2)] | None = None
    """Default: read from the cluster (MaxArraySize)."""
    max_submit: PositiveInt | None = None
    """Jobs that you may have in the queue at once (MaxSubmitJobs). Default: no limit is known."""


class RetrySection(Section):
    """How often one trial is tried again, by the cause that ended an attempt.

    Preemptions and time limits do not count: they cost no retry.
    """

    node_failed: Count = 3
    """The node died or was taken away."""
    killed: Count = 2
    """A rank was killed or vanished without a word."""
    hang: Count = 2
    """No step for a long time: the watchdog ended the world."""
    out_of_memory_host: Count = 1
    """Killed by the kernel at ``mem_gib``."""
    out_of_memory_cuda: Count = 0
    """The same trial on the same GPU needs the same memory."""
    error: Count = 1
    """A Python exception: once it may be the node's, twice it is the trial's."""
    exclude_node_after: PositiveInt = 2
    """A node with so many failures of its hardware gets no more workers of the run."""
    stop_after: PositiveInt = 5
    """So many attempts in a row failing with one cause stop the run: it is not the trials."""


class Profile(Section):
    """Where workers run."""

    name: Text
    """Default: the name of the file."""
    executor: Literal["local", "slurm"]
    """local: processes on this machine."""
    workers: PositiveInt | None = None
    """At most so many at once. Default: 8 on SLURM; locally what the cores or GPUs carry."""
    successors: Count = 9
    """Jobs queued behind each worker, in one array with it: one goes on where the one before it
    reached its time limit or was taken away. Those that find no work end at once."""
    canary: bool = True
    """Before a run's first workers start, a job trains two steps of the largest trial."""
    checkpoint_every_s: PositiveFloat = 30.0
    """Seconds between checkpoints of a running trial: what a kill without notice costs at most."""
    workers_per_gpu: PositiveInt = 1
    """Above 1, small trials share a GPU: each worker is then one rank on its share of one GPU."""
    threads: PositiveInt | None = None
    """CPU threads of each rank. Default: its cores."""
    job: JobSection = JobSection()
    preemption: PreemptionSection = PreemptionSection()
    environment: EnvironmentSection = EnvironmentSection()
    communication: CommunicationSection = CommunicationSection()
    data: DataSection = DataSection()
    limits: LimitsSection = LimitsSection()
    retry: RetrySection = RetrySection()
    sbatch: dict[str, bool | int | str] = Field(default_factory=dict)
    """Any other long option of sbatch: ``reservation = "maintenance-free"``; ``true`` for options
    without a value."""

    @property
    def on_cpu(self) -> bool:
        """Whether the file itself says so: the default leaves it to the machine."""
        return "gpus_per_node" in self.job.model_fields_set and not self.job.gpus_per_node
