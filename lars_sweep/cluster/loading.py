"""From a name or a TOML file to a profile, with every problem of the file at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lars_sweep.cluster.options import ELSEWHERE, OWN_KEYS, SBATCH_OPTIONS, SET_BY_LAUNCH
from lars_sweep.cluster.profile import JobSection, LimitsSection, Profile
from lars_sweep.errors import Problem, SpecError
from lars_sweep.shipped import shipped
from lars_sweep.tomlfile import Path as Place
from lars_sweep.tomlfile import (
    TomlFile,
    nearest,
    plain,
    raise_if_any,
    read_toml,
    shown,
    unknown,
    wanted,
)

Finding = tuple[Place, str, str]
"""Where in the file, what is given, what is allowed."""


def shipped_profiles() -> dict[str, Path]:
    """The profiles that come with lars-sweep, by name."""
    return {file.stem: file for file in sorted((shipped("slurm") / "profiles").glob("*.toml"))}


def reference(name_or_path: str) -> str:
    """What names this profile from any directory: a shipped name as it is, a path made absolute."""
    is_file = name_or_path.endswith(".toml")
    return str(Path(name_or_path).resolve()) if is_file else name_or_path


def load_profile(name_or_path: str | Path) -> Profile:
    """Reads and checks a profile.

    Args:
        name_or_path: a shipped profile's name, as in ``dgx8``, or a path that ends in ``.toml``.

    Raises:
        SpecError: no such profile, or everything that is wrong with the file.
    """
    file = _find(name_or_path)
    toml = TomlFile(str(file), read_toml(file, "profile"))
    try:
        # As JSON: there alone strict pydantic takes a list for a tuple.
        profile = Profile.model_validate_json(
            json.dumps({"name": file.stem, **plain(toml.content)})
        )
    except ValidationError as error:
        findings = [_finding(details) for details in error.errors(include_url=False)]
        findings += _bad_options(toml.content.get("sbatch"))
        raise SpecError(_in_order(toml, findings)) from None
    raise_if_any(_in_order(toml, _contradictions(profile)))
    return profile


def _in_order(toml: TomlFile, findings: Iterable[Finding]) -> list[Problem]:
    """The problems as a reader of the file meets them; first those of absent keys."""
    problems = [toml.problem(*finding) for finding in dict.fromkeys(findings)]
    return sorted(problems, key=lambda problem: problem.line or 0)


def _find(name_or_path: str | Path) -> Path:
    if str(name_or_path).endswith(".toml"):
        return Path(name_or_path)
    known = shipped_profiles()
    if str(name_or_path) not in known:
        raise SpecError(
            f"no profile {str(name_or_path)!r}: {unknown(str(name_or_path), known)}; "
            "or the path of a file that ends in .toml"
        )
    return known[str(name_or_path)]


def _finding(details: ErrorDetails) -> Finding:
    path = details["loc"]
    if path[0] == "sbatch" and len(path) == 3:  # one finding for each type that was tried
        return path[:2], shown(details["input"]), "true, an integer or text in quotes"
    if details["type"] == "string_pattern_mismatch":
        if path[-1] == "[key]":
            return path[:-1], "this name", "letters, digits and _, no digit first"
        return path, shown(details["input"]), "text on one line"
    if details["type"] == "missing":
        return path, "nothing", "a value; required"
    if details["type"] == "extra_forbidden":
        key = str(path[-1])
        return path, f"unknown key {key!r}", unknown(key, _fields_of(path[:-1]))
    return path, shown(details["input"]), wanted(details["type"], details["msg"])


def _fields_of(path: Iterable[str | int]) -> Iterable[str]:
    model: type[BaseModel] = Profile
    for part in path:
        annotation = model.model_fields[str(part)].annotation
        assert isinstance(annotation, type)
        model = annotation
    return model.model_fields


def _contradictions(profile: Profile) -> Iterator[Finding]:
    """Keys that are right by themselves and wrong together."""
    yield from _twice(profile.job)
    yield from _without_gpus(profile)
    yield from _ill_shaped(profile)
    yield from _bad_options(profile.sbatch)
    if profile.executor == "local":
        yield from _local(profile)


def _twice(job: JobSection) -> Iterator[Finding]:
    for one, other in (("cpus_per_gpu", "cpus_per_task"), ("mem_per_gpu_gib", "mem_gib")):
        if getattr(job, one) is not None and getattr(job, other) is not None:
            yield ("job", one), shown(getattr(job, one)), f"either this or job.{other}"


def _without_gpus(profile: Profile) -> Iterator[Finding]:
    job = profile.job
    if job.gpus_per_node:
        return
    only = "only with job.gpus_per_node above 0"
    for name in ("gpu_type", "cpus_per_gpu", "mem_per_gpu_gib"):
        if getattr(job, name) is not None:
            yield ("job", name), shown(getattr(job, name)), only
    if profile.workers_per_gpu > 1:
        yield ("workers_per_gpu",), shown(profile.workers_per_gpu), f"above 1 {only}"
    if profile.communication.backend == "nccl":
        yield ("communication", "backend"), shown("nccl"), only


def _ill_shaped(profile: Profile) -> Iterator[Finding]:
    job, environment = profile.job, profile.environment
    if job.gpus_per_node and job.tasks_per_node not in (None, job.gpus_per_node):
        allowed = f"nothing, or {job.gpus_per_node}: one rank per GPU"
        yield ("job", "tasks_per_node"), shown(job.tasks_per_node), allowed
    if profile.workers_per_gpu > 1 and job.nodes > 1:
        yield ("job", "nodes"), shown(job.nodes), "1, as workers_per_gpu is above 1"
    if profile.preemption.notice_s >= job.time_limit_min * 60:
        allowed = f"less than job.time_limit_min, {job.time_limit_min * 60} s"
        yield ("preemption", "notice_s"), shown(profile.preemption.notice_s), allowed
    if environment.container_image and not environment.python:
        yield ("environment", "python"), "nothing", "the interpreter inside the container"
    if environment.container_mounts and not environment.container_image:
        given = shown(environment.container_mounts)
        allowed = "only with environment.container_image"
        yield ("environment", "container_mounts"), given, allowed


def _bad_options(options: object) -> Iterator[Finding]:
    """Also of a file with other mistakes, so that all are told at once."""
    for option, value in options.items() if isinstance(options, Mapping) else ():
        path, given = ("sbatch", option), shown(value)
        if option in OWN_KEYS:
            yield path, given, f"nothing here: use {OWN_KEYS[option]}"
        elif option in SET_BY_LAUNCH:
            yield path, given, "nothing: `launch` sets it"
        elif option in ELSEWHERE:
            yield path, given, "nothing: workers run on the cluster whose login node this is"
        elif option not in SBATCH_OPTIONS:
            allowed = nearest(option, sorted(SBATCH_OPTIONS)) + "a long option of sbatch"
            yield path, f"unknown option {option!r}", allowed
        elif isinstance(value, str) and len(value.splitlines()) > 1:
            yield path, given, "text on one line"
        elif value is False:
            yield path, given, "true, a number or a text; leave it out to not pass it"


def _local(profile: Profile) -> Iterator[Finding]:
    job, only = profile.job, "only with executor slurm"
    for name in sorted(job.model_fields_set):
        if name not in ("gpus_per_node", "tasks_per_node", "time_limit_min"):
            yield ("job", name), shown(getattr(job, name)), only
    if job.gpus_per_node > 1:
        given = shown(job.gpus_per_node)
        yield ("job", "gpus_per_node"), given, "0 or 1: a local worker is one process on one GPU"
    if profile.limits != LimitsSection():
        yield ("limits",), "a table", only
    if profile.sbatch:
        yield ("sbatch",), "a table", only
    if profile.environment.container_image:
        image = ("environment", "container_image")
        yield image, shown(profile.environment.container_image), only
