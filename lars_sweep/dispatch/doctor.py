"""Checks of the place where a sweep is to run, each with what was found and what to do."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lars_sweep.cluster.devices import local_gpus
from lars_sweep.data import describe_dataset
from lars_sweep.dispatch.check import Check
from lars_sweep.dispatch.room import check_quota, check_space
from lars_sweep.errors import LarsSweepError
from lars_sweep.rundir import publish

LIBRARIES = ("torch", "optuna", "submitit", "pyarrow", "pydantic", "typer", "seaborn", "scipy")


def check_all(directory: Path, data_dir: Path | None, dataset: str | None) -> list[Check]:
    """Everything that can be checked from this machine; a data set that is named is needed."""
    return [
        Check(name="python", ok=sys.version_info >= (3, 11), found=sys.version.split()[0]),
        *_libraries(),
        _gpus(),
        _file_system(directory),
        check_space(directory),
        check_quota(directory),
        *_data(data_dir, dataset),
    ]


def _libraries() -> Iterator[Check]:
    for name in LIBRARIES:
        try:
            yield Check(name=name, ok=True, found=version(name))
        except PackageNotFoundError:
            yield Check(name=name, ok=False, found="absent", advice=f"pip install {name}")


def _gpus() -> Check:
    found = ", ".join(local_gpus()) or "none that torch can use: local workers train on the CPU"
    return Check(name="GPUs", ok=True, found=found, needed=False)


def _file_system(directory: Path) -> Check:
    """Claims need hard links and atomic renames."""
    name = "hard links"
    probe = directory.resolve() / f"{publish.TEMPORARY_PREFIX}doctor-{uuid.uuid4().hex}"
    made = [path for path in (probe.parent, *probe.parents) if not path.exists()]
    try:
        probe.mkdir(parents=True)
        first = publish.publish_new(probe / "claim", b"1")
        second = publish.publish_new(probe / "claim", b"2")
    except (LarsSweepError, OSError) as error:
        return Check(name=name, ok=False, found=str(error), advice="choose another directory")
    finally:
        shutil.rmtree(probe, ignore_errors=True)
        for path in made:
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    exclusive = first and not second
    return Check(name=name, ok=exclusive, found=f"exclusive in {directory}" if exclusive else "lax")


def _data(data_dir: Path | None, dataset: str | None) -> Iterator[Check]:
    sets = {"digits": True, "fashion-mnist": False} | ({dataset: True} if dataset else {})
    for name, needed in sets.items():
        try:
            info = describe_dataset(name, data_dir)
        except LarsSweepError as error:
            yield Check(
                name=name, ok=False, found="absent", advice=" ".join(str(error).split()),
                needed=needed,
            )  # fmt: skip
        else:
            yield Check(name=name, ok=True, found=f"content id {info.content_id}", needed=needed)
