"""submitit's local executor, made to outlive the terminal that started it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from submitit.local.local import LocalExecutor, LocalJob


class DetachedLocalExecutor(LocalExecutor):
    """Each job's controller leads a session of its own.

    submitit starts it in the caller's session, where Ctrl-C and the terminal's hang-up reach it;
    its default time limit is two minutes, so ours is always explicit.
    """

    def _submit_command(self, command: str) -> LocalJob[Any]:
        environment = dict(
            os.environ,
            SUBMITIT_EXECUTOR="local",
            SUBMITIT_LOCAL_COMMAND=command,
            SUBMITIT_LOCAL_JOB_NUM_NODES="1",
            SUBMITIT_LOCAL_NODEID="0",
            SUBMITIT_LOCAL_NTASKS="1",
            SUBMITIT_LOCAL_SIGNAL_DELAY_S=str(int(self.parameters["signal_delay_s"])),
            SUBMITIT_LOCAL_TIMEOUT_S=str(int(60 * self.parameters["timeout_min"])),
            SUBMITIT_LOCAL_WITH_SHELL="",
            SUBMITIT_STDERR_TO_STDOUT="1",
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "submitit.local._local", str(self.folder)],
            env=environment,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return LocalJob(folder=self.folder, job_id=str(process.pid), process=process, tasks=[0])
