"""Workers as SLURM jobs: one array per worker, whose tasks follow one another.

``--array=0-9%1`` queues nine successors behind a worker, in one submission and under one id. A
successor starts when the task before it is over, whatever ended it, so a time limit or a preemption
needs no SLURM command on a compute node. (``--dependency=singleton`` would do the same for single
jobs of one name; within and between arrays it makes all tasks of that name wait for each other.)
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import FailedJobError
from submitit.helpers import clean_env

from lars_sweep.cluster.profile import Profile
from lars_sweep.cluster.sbatch import submitit_parameters
from lars_sweep.cluster.scheduler import jobs_named, max_array_size
from lars_sweep.errors import LaunchError
from lars_sweep.rundir.launches import Launch, job_name, record_jobs
from lars_sweep.rundir.layout import RunDir
from lars_sweep.worker import exits
from lars_sweep.worker.ending import STARTED
from lars_sweep.worker.order import WorkOrder

logger = logging.getLogger(__name__)

CANARY = "canary"


class WorkerExecutor(SlurmExecutor):
    """submitit's executor, with a command of ours: jobs read an order, not a pickle.

    Pickles of arguments and results are what breaks when a job is requeued while it writes them.
    """

    def __init__(self, logs: Path, profile: Profile) -> None:
        super().__init__(folder=logs, python=profile.environment.python)
        self._profile = profile
        self.update_parameters(**submitit_parameters(profile), stderr_to_stdout=True)

    def prepare(
        self, order: Path, *, tasks: int, name: str, after: str | None, exclude: str
    ) -> str:
        """Set the parameters of one array; returns the command that its ranks run."""
        worker = f"{self.python} -u -m lars_sweep.worker"
        setup = [*submitit_parameters(self._profile)["setup"], f"export {STARTED}=$(date +%s)"]
        if self._profile.environment.container_image is None and after is not None:
            # A successor without work or room ends before it starts ranks. Any other failure is
            # theirs.
            setup.append(f"{worker} --needed {shlex.quote(str(order))}")
            setup.append(
                f"case $? in {exits.NOT_NEEDED}) exit 0;; {exits.DISK}) exit {exits.DISK};; esac"
            )
        additional = dict(submitit_parameters(self._profile)["additional_parameters"])
        if after:
            additional["kill-on-invalid-dep"] = "yes"
        excluded = ",".join(filter(None, [exclude, str(additional.pop("exclude", ""))]))
        self.update_parameters(
            job_name=name,
            setup=setup,
            dependency=f"afterok:{after}" if after else None,
            exclude=excluded or None,
            array_parallelism=1,
            additional_parameters=additional,
        )
        self.parameters["map_count"] = tasks
        return f"{worker} {shlex.quote(str(order))}"

    @classmethod
    def affinity(cls) -> int:
        """Without SLURM, texts can still be made; `send` says what is missing."""
        return 1

    def text(self, command: str) -> str:
        """What ``sbatch`` reads."""
        return str(self._make_submission_file_text(command, ""))

    def send(self, command: str) -> str:
        """Submit; the array's id.

        Raises:
            LaunchError: sbatch refused, in its own words.
        """
        if shutil.which("sbatch") is None:
            raise LaunchError(
                f"profile {self._profile.name}: no sbatch on this machine: launch from a login "
                "node of the cluster, or use --profile local"
            )
        try:
            with outside_of_jobs():
                job: Any = self._submit_command(command)
        except FailedJobError as error:
            raise LaunchError(f"sbatch refused: {' '.join(str(error).split())}") from error
        return str(job.job_id)


def submit_arrays(
    run: RunDir, launch: Launch, profile: Profile, order: WorkOrder, *, canary: bool, exclude: str
) -> Launch:
    """Submit the workers of a launch, recording each as it goes.

    Raises:
        LaunchError: SLURM took none.
    """
    order.save(order_path(run, launch))
    submission = _Submission(run, launch, profile, exclude)
    try:
        if canary:
            submission.send_canary(order)
        submission.send_workers()
    except LaunchError as error:
        submission.launch = replace(submission.launch, refused=str(error))
        raise
    finally:
        launch = submission.launch
        launch = record_jobs(run, replace(launch, workers=len(launch.job_ids), through=True))
    return launch


class _Submission:
    """One launch on its way into the queue."""

    def __init__(self, run: RunDir, launch: Launch, profile: Profile, exclude: str) -> None:
        self.launch = launch
        self._run, self._exclude = run, exclude
        self._executor = WorkerExecutor(run.logs, profile)
        self._tasks = tasks_per_worker(profile, launch.workers)

    def send_canary(self, order: WorkOrder) -> None:
        """Submit the job whose success releases the workers."""
        path = order_path(self._run, self.launch).with_suffix(".canary.json")
        replace(order, canary=True).save(path)
        name = job_name(self._run, self.launch, CANARY)
        command = self._executor.prepare(
            path, tasks=1, name=name, after=None, exclude=self._exclude
        )
        self._record(canary=self._executor.send(command))

    def send_workers(self) -> None:
        """Submit one array per worker, with fewer successors where the site takes no more jobs.

        Raises:
            LaunchError: SLURM took none.
        """
        while len(self.launch.job_ids) < self.launch.workers:
            try:
                array = self._send_worker(len(self.launch.job_ids))
            except LaunchError as error:
                if "Submit" not in str(error):
                    raise
                if self._tasks > 1:
                    self._shorten()
                elif self.launch.job_ids:
                    refused = f"{error}; it took {len(self.launch.job_ids)} workers"
                    logger.warning("%s", refused)
                    self.launch = replace(self.launch, refused=refused)
                    return
                else:
                    raise
            else:
                self._record(job_ids=(*self.launch.job_ids, array))

    def _send_worker(self, part: int) -> str:
        command = self._executor.prepare(
            order_path(self._run, self.launch),
            tasks=self._tasks,
            name=job_name(self._run, self.launch, part),
            after=self.launch.canary or "",
            exclude=self._exclude,
        )
        return self._executor.send(command)

    def _shorten(self) -> None:
        """Give every worker half the successors, those that wait already too."""
        last, self._tasks = self._tasks - 1, self._tasks // 2
        cancel_arrays([f"{array}_[{self._tasks}-{last}]" for array in self.launch.job_ids])

    def _record(self, **fields: Any) -> None:
        self.launch = record_jobs(self._run, replace(self.launch, **fields))


def tasks_per_worker(profile: Profile, workers: int) -> int:
    """A worker and its successors, as far as the site's limits allow them."""
    limits = profile.limits
    tasks = min(1 + profile.successors, limits.max_array_size or max_array_size())
    if limits.max_submit is not None:
        tasks = min(tasks, (limits.max_submit - 1) // workers)
    return max(1, tasks)


def order_path(run: RunDir, launch: Launch) -> Path:
    return run.path / "orders" / f"{launch.number}.json"


def recover(run: RunDir, launch: Launch) -> Launch:
    """Complete the record of a launch that was cut off, from the names of its jobs.

    Raises:
        SchedulerError: SLURM does not answer.
    """
    names = {job_name(run, launch, part): part for part in range(launch.workers)}
    found = jobs_named([*names, job_name(run, launch, CANARY)])
    canary = found.pop(job_name(run, launch, CANARY), None)
    ids = tuple(found[name] for name in sorted(found, key=lambda name: names[name]))
    logger.warning("launch %d was cut off; SLURM has %d of its workers", launch.number, len(ids))
    return record_jobs(
        run, replace(launch, workers=len(ids), job_ids=ids, canary=canary, through=True)
    )


def cancel_arrays(arrays: list[str], *options: str) -> bool:
    """``scancel``; whether SLURM took it. What is over already is no error."""
    if not arrays:
        return True
    command = ["scancel", "--quiet", *options, *arrays]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def outside_of_jobs() -> Iterator[None]:
    """The environment without what an allocation put there: its limits would pass to new jobs."""
    configuration = os.environ.get("SLURM_CONF")
    with clean_env():
        if configuration is not None:
            os.environ["SLURM_CONF"] = configuration
        yield
