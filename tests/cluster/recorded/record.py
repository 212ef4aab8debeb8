"""Records what squeue and sacct really say, from a development cluster of its own.

    PYTHONPATH=slurm:. python tests/cluster/recorded/record.py     (about two minutes)

Writes jobs.json (what each job is) and, at two moments, squeue-*.txt and sacct-*.txt.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

from devcluster.cluster import Cluster
from devcluster.settings import Settings

from lars_sweep.cluster.scheduler import SACCT, SQUEUE

HERE = Path(__file__).parent
EAT = "python3 -c 'held = b\"x\" * 300_000_000; import time; time.sleep(60)'"
SLEEP = "sleep 600"


class Recorder:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.jobs: dict[str, str] = {}

    def submit(self, name: str, script: str, *options: str) -> str:
        job = self.cluster.run(
            "sbatch", "--parsable", "--output=/dev/null", *options, "--wrap", script
        ).strip()
        self.jobs[name] = job
        return job

    def save(self, moment: str) -> None:
        jobs = f"--jobs={','.join(self.jobs.values())}"
        for tool, command in (("squeue", SQUEUE), ("sacct", SACCT)):
            text = self.cluster.run(*command, jobs)
            # squeue pads its columns; trailing blanks would not survive an editor.
            text = re.sub(r" +(?=\||$)", "", text, flags=re.MULTILINE)
            (HERE / f"{tool}-{moment}.txt").write_text(text)
        (HERE / "jobs.json").write_text(json.dumps(self.jobs, indent=1) + "\n")


def record(cluster: Cluster) -> None:
    lab = Recorder(cluster)
    one, two, three, four = (f"--nodelist=rec-{i}" for i in range(1, 5))
    lab.submit("completed", "true", one)
    lab.submit("exit_3", "exit 3", one)
    lab.submit("killed", "srun sh -c 'kill -9 $$'", one)
    lab.submit("oom_in_step", f"srun {EAT}", one, "--mem=100M")
    lab.submit("oom_in_batch", EAT, one, "--mem=100M")
    lab.submit("timed_out", SLEEP, one, "--time=1")
    lab.submit("held", "true", "--hold")
    lab.submit("dependent", "true", f"--dependency=afterok:{lab.jobs['exit_3']}")
    array = lab.submit("array", SLEEP, two, "--array=0-9%2")
    lab.submit("cancelled", SLEEP, two)
    never = lab.submit("array_cancelled_waiting", SLEEP, "--array=0-3", "--hold")
    lab.submit("spot", "sleep 15", three, "--partition=spot", "--exclusive")
    lab.submit("spotkill", SLEEP, four, "--partition=spotkill", "--exclusive")
    time.sleep(4)
    lab.submit(
        "high", "sleep 3", "--nodelist=rec-3,rec-4", "--partition=high", "--exclusive", "-N2"
    )
    cluster.run("scancel", f"{array}_0", lab.jobs["cancelled"], never)
    time.sleep(4)
    lab.save("busy")
    cluster.run("scancel", array)
    again = lab.submit("requeued_twice", "sleep 6", two)
    for _ in range(2):
        time.sleep(3)
        cluster.run("scontrol", "requeue", again)
        time.sleep(10)
    lab.submit("node_failed", SLEEP, four, "--no-requeue")
    lab.submit("node_failed_requeued", "sleep 9", four)
    time.sleep(3)
    cluster.set_node("rec-4", "down")
    time.sleep(1)
    cluster.set_node("rec-4", "resume")
    time.sleep(60)
    lab.save("after")


if __name__ == "__main__":
    cluster = Cluster(Settings(name="rec").checked())
    cluster.up()
    try:
        record(cluster)
    finally:
        cluster.down(wipe=True)
