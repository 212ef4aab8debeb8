"""Profiles: what is read, what is refused and in which words, what shape comes out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from lars_sweep.cluster import layout as layout_module
from lars_sweep.cluster.layout import worker_layout, worker_limit
from lars_sweep.cluster.loading import load_profile, shipped_profiles
from lars_sweep.cluster.options import OWN_KEYS, SBATCH_OPTIONS, SET_BY_LAUNCH
from lars_sweep.cluster.profile import Profile
from lars_sweep.errors import SpecError


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(text)
    return file


def complaints(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(SpecError) as error:
        load_profile(write(tmp_path, text))
    return [f"{p.key}: {p.given}: {p.allowed}" for p in error.value.problems]


@pytest.mark.parametrize("name", ["cpu", "devcluster", "dgx8", "local", "preemptible"])
def test_shipped_profiles_are_valid(name: str) -> None:
    assert load_profile(name).name == name
    assert name in shipped_profiles()


def test_every_shipped_profile_is_tested() -> None:
    assert set(shipped_profiles()) == {"cpu", "devcluster", "dgx8", "local", "preemptible"}


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(SpecError, match=r"no profile 'dgx': did you mean dgx8\? one of cpu, dev"):
        load_profile("dgx")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"cannot read the profile .*nowhere.toml: .*No such file"):
        load_profile(tmp_path / "nowhere.toml")


def test_the_smallest_profile(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, 'executor = "slurm"'))
    assert profile == Profile(name="site", executor="slurm")
    assert Profile.model_validate_json(profile.model_dump_json()) == profile


def test_all_problems_of_a_file_at_once(tmp_path: Path) -> None:
    text = """
        executor = "kubernetes"
        workers = "many"
        [job]
        nodes = 0
        partion = "gpu"
        time_limit_min = 1.5
        [environment]
        setup = "module load cuda"
        """
    assert complaints(tmp_path, text) == [
        "executor: \"kubernetes\": 'local' or 'slurm'",
        'workers: "many": an integer',
        "job.nodes: 0: greater than 0",
        "job.partion: unknown key 'partion': did you mean partition? one of "
        "partition, account, qos, constraint, nodes, gpus_per_node, gpu_type, tasks_per_node, "
        "cpus_per_task, cpus_per_gpu, mem_gib, mem_per_gpu_gib, time_limit_min, exclusive",
        "job.time_limit_min: 1.5: an integer",
        'environment.setup: "module load cuda": a list',
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("workers = 1", "executor: nothing: a value; required"),
        ("executor = [", "syntax: executor = [: TOML: Invalid value"),
        ("[job]\ncpus_per_task=1\ncpus_per_gpu=1\ngpus_per_node=1",
         "job.cpus_per_gpu: 1: either this or job.cpus_per_task"),
        ("[job]\nmem_gib=1\nmem_per_gpu_gib=1\ngpus_per_node=1",
         "job.mem_per_gpu_gib: 1.0: either this or job.mem_gib"),
        ("[job]\ngpu_type='h100'", "job.gpu_type: \"h100\": only with job.gpus_per_node above 0"),
        ("workers_per_gpu=2", "workers_per_gpu: 2: above 1 only with job.gpus_per_node above 0"),
        ("[communication]\nbackend='nccl'",
         "communication.backend: \"nccl\": only with job.gpus_per_node above 0"),
        ("[job]\ngpus_per_node=4\ntasks_per_node=2",
         "job.tasks_per_node: 2: nothing, or 4: one rank per GPU"),
        ("workers_per_gpu=2\n[job]\ngpus_per_node=4\nnodes=2",
         "job.nodes: 2: 1, as workers_per_gpu is above 1"),
        ("[job]\ntime_limit_min=2",
         "preemption.notice_s: 120: less than job.time_limit_min, 120 s"),
        ("[environment]\ncontainer_image='x.sqsh'",
         "environment.python: nothing: the interpreter inside the container"),
        ("[environment]\ncontainer_mounts=['/a:/a']",
         "environment.container_mounts: [\"/a:/a\"]: only with environment.container_image"),
        ("[sbatch]\nreservatoin='x'",
         "sbatch.reservatoin: unknown option 'reservatoin': "
         "did you mean reservation? a long option of sbatch"),
        ("[sbatch]\npartition='x'", 'sbatch.partition: "x": nothing here: use job.partition'),
        ("[sbatch]\narray='0-9'", 'sbatch.array: "0-9": nothing: `launch` sets it'),
        ("[sbatch]\nclusters='other'", 'sbatch.clusters: "other": nothing: workers run on the '
         "cluster whose login node this is"),
        ("[sbatch]\ncomment='''a\nb'''", 'sbatch.comment: "a\\nb": text on one line'),
        ("[job]\npartition='''a\nb'''", 'job.partition: "a\\nb": text on one line'),
        ("[environment.variables]\n'A B'='x'",
         "environment.variables.A B: this name: letters, digits and _, no digit first"),
        ("[environment.variables]\nint=3", "environment.variables.int: 3: text in quotes"),
        ("[sbatch]\nnice=1.5", "sbatch.nice: 1.5: true, an integer or text in quotes"),
        ("[sbatch]\nreboot=false",
         "sbatch.reboot: false: true, a number or a text; leave it out to not pass it"),
    ],
)  # fmt: skip
def test_a_contradiction_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    executor = "" if "executor" in complaint or "TOML" in complaint else 'executor = "slurm"\n'
    (found,) = complaints(tmp_path, executor + text)
    assert found == complaint


def test_unknown_options_are_told_beside_other_mistakes(tmp_path: Path) -> None:
    text = 'executor = "slurm"\n[job]\nnodes = 0\n[sbatch]\narray = "0-9"\n'
    assert complaints(tmp_path, text) == [
        "job.nodes: 0: greater than 0",
        'sbatch.array: "0-9": nothing: `launch` sets it',
    ]


def test_a_local_profile_has_nothing_for_slurm(tmp_path: Path) -> None:
    text = """
        executor = "local"
        [job]
        partition = "gpu"
        mem_gib = 4
        time_limit_min = 60
        [limits]
        max_submit = 10
        [sbatch]
        nice = 100
        """
    only = "only with executor slurm"
    assert complaints(tmp_path, text) == [
        f'job.partition: "gpu": {only}',
        f"job.mem_gib: 4.0: {only}",
        f"limits: a table: {only}",
        f"sbatch: a table: {only}",
    ]


def test_a_problem_names_its_line(tmp_path: Path) -> None:
    """Of a wrong value, an unknown key, a contradiction; none where the key is absent."""
    file = write(tmp_path, 'workers = 0\n[job]\nnodes = 2\npartion = "gpu"\n')
    with pytest.raises(SpecError) as error:
        load_profile(file)
    assert [(p.line, p.key) for p in error.value.problems] == [
        (None, "executor"), (1, "workers"), (4, "job.partion"),
    ]  # fmt: skip
    assert f"{file}:4: job.partion: got unknown key" in str(error.value)
    file = write(tmp_path, 'executor = "slurm"\n[job]\n\ngpu_type = "h100"\n')
    with pytest.raises(SpecError, match=rf"{file}:4: job.gpu_type: "):
        load_profile(file)


def test_options_are_known_once() -> None:
    assert not SBATCH_OPTIONS & (set(OWN_KEYS) | SET_BY_LAUNCH)
    assert not set(OWN_KEYS) & SET_BY_LAUNCH


def test_every_key_is_described() -> None:
    def undescribed(model: type[BaseModel]) -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                found += undescribed(field.annotation)
            elif not field.description:
                found.append(name)
        return found

    assert undescribed(Profile) == []


# ── shape


def shape(tmp_path: Path, text: str) -> tuple[int, int, int, int, float, int | None, int, str]:
    layout = worker_layout(load_profile(write(tmp_path, text)))
    return (
        layout.nodes, layout.tasks_per_node, layout.worlds, layout.ranks, layout.devices,
        layout.cpus_per_task, layout.threads, layout.backend,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        ("nodes=1", (1, 1, 1, 1, 1.0, None, 1, "gloo")),
        ("nodes=2\ntasks_per_node=2\ncpus_per_task=3", (2, 2, 1, 4, 4.0, 3, 3, "gloo")),
        ("nodes=2\ngpus_per_node=8\ncpus_per_gpu=14", (2, 8, 1, 16, 16.0, 14, 14, "nccl")),
        ("gpus_per_node=4", (1, 4, 1, 4, 4.0, None, 1, "nccl")),
    ],
)
def test_shape_of_a_slurm_worker(tmp_path: Path, job: str, expected: tuple[object, ...]) -> None:
    assert shape(tmp_path, f'executor = "slurm"\n[job]\n{job}') == expected


def test_workers_that_share_gpus_are_worlds_of_one_rank(tmp_path: Path) -> None:
    text = 'executor="slurm"\nworkers_per_gpu=3\n[job]\ngpus_per_node=2\ncpus_per_gpu=8'
    assert shape(tmp_path, text) == (1, 6, 6, 1, 1 / 3, 2, 2, "nccl")


@pytest.mark.parametrize(
    ("text", "workers", "threads"),
    [
        ("workers = 1", 1, 12),
        ("workers = 3", 3, 4),
        ("threads = 2", 6, 2),
        ("", 12, 1),
        ("workers = 99", 99, 1),
        ("[job]\ntasks_per_node = 2", 6, 1),
    ],
)
def test_a_local_profile_fits_the_machine(
    text: str, workers: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout_module, "_cores", lambda: 12)
    monkeypatch.setattr(layout_module, "local_gpus", lambda: ())
    profile = load_profile(write(tmp_path, f'executor = "local"\n{text}'))
    assert (worker_limit(profile), worker_layout(profile).threads) == (workers, threads)


@pytest.mark.parametrize(
    ("text", "workers", "threads", "gpus", "devices"),
    [
        ("", 2, 6, 1, 1.0),
        ("threads = 2", 2, 2, 1, 1.0),
        ("workers = 3", 3, 4, 1, 1.0),
        ("workers_per_gpu = 3\n[job]\ngpus_per_node = 1", 6, 2, 1, 1 / 3),
        ("[job]\ngpus_per_node = 0", 12, 1, 0, 1.0),
    ],
)
def test_local_workers_share_out_the_gpus_of_the_machine(
    text: str,
    workers: int,
    threads: int,
    gpus: int,
    devices: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layout_module, "_cores", lambda: 12)
    monkeypatch.setattr(layout_module, "local_gpus", lambda: ("0", "3"))
    profile = load_profile(write(tmp_path, f'executor = "local"\n{text}'))
    layout = worker_layout(profile)
    assert (worker_limit(profile), layout.threads) == (workers, threads)
    assert (layout.gpus_per_node, layout.devices, layout.ranks) == (gpus, devices, 1)
    slurm = load_profile(write(tmp_path, 'executor = "slurm"'))
    assert worker_layout(slurm).gpus_per_node == 0


def test_a_local_worker_has_one_gpu_at_most(tmp_path: Path) -> None:
    (said,) = complaints(tmp_path, 'executor = "local"\n[job]\ngpus_per_node = 2')
    assert said == "job.gpus_per_node: 2: 0 or 1: a local worker is one process on one GPU"


def test_cores_are_those_this_process_may_use() -> None:
    profile = Profile(name="x", executor="local", threads=1)
    assert worker_limit(profile) == len(os.sched_getaffinity(0))
