"""The batch script that submitit writes for a profile, to the letter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from submitit import SlurmExecutor

from lars_sweep.cluster.loading import load_profile, shipped_profiles
from lars_sweep.cluster.profile import Profile
from lars_sweep.cluster.sbatch import submitit_parameters

GOLDEN = Path(__file__).parent / "golden"

EVERYTHING = """
executor = "slurm"
workers = 5
workers_per_gpu = 2

[job]
partition = "gpu"
account = "it's mine"
qos = "high"
constraint = "a100&nvlink"
gpus_per_node = 4
gpu_type = "a100"
cpus_per_gpu = 9
mem_per_gpu_gib = 31.5
time_limit_min = 90
exclusive = true

[preemption]
signal = "TERM"
notice_s = 240
requeue = false

[environment]
python = "/opt/venv/bin/python"
setup = ["module load cuda", "ulimit -c 0"]
variables = { NCCL_IB_HCA = "mlx5", GREETING = "it's $HOME" }
container_image = "/images/lars sweep.sqsh"
container_mounts = ["/scratch:/scratch", "/data:/data:ro"]

[communication]
interface = "ib0"

[sbatch]
reservation = "friday"
nice = 100
spread-job = true
wckey = "physics"
"""


def rendered(profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What ``sbatch`` would read; the folder is written as FOLDER."""
    monkeypatch.setattr(SlurmExecutor, "affinity", classmethod(lambda _: 2))  # without srun here
    executor = SlurmExecutor(folder=tmp_path / "log", python=profile.environment.python)
    executor.update_parameters(**submitit_parameters(profile))
    text = executor._make_submission_file_text("COMMAND", "uid")
    return re.sub(re.escape(str(tmp_path)), "FOLDER", text)


@pytest.mark.parametrize("name", ["everything", "cpu", "devcluster", "dgx8", "preemptible"])
def test_batch_script(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "everything.toml").write_text(EVERYTHING)
    profile = load_profile(tmp_path / "everything.toml" if name == "everything" else name)
    assert rendered(profile, tmp_path, monkeypatch) == (GOLDEN / f"{name}.sbatch").read_text()


def test_every_slurm_profile_has_a_golden_script() -> None:
    names = {name for name in shipped_profiles() if load_profile(name).executor == "slurm"}
    assert {file.stem for file in GOLDEN.iterdir()} == names | {"everything"}
