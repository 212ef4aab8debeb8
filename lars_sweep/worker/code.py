"""The user's own modules: copied into the run, and what workers import is held against the plan."""

from __future__ import annotations

import importlib
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path

from lars_sweep.errors import RunError
from lars_sweep.rundir import publish
from lars_sweep.rundir.layout import RunDir
from lars_sweep.spec.userobject import module_source, module_source_hash


def snapshot(run: RunDir, references: Iterable[str]) -> None:
    """Copy the sources behind ``package.module:function`` references into the run.

    A package is copied with all its Python files, a single module alone; what else they import is
    found where it was. Installed packages stay where they are. The first copy stays.
    """
    installed = Path(sysconfig.get_paths()["purelib"])
    for reference in references:
        source = module_source(reference)
        if source.is_relative_to(installed):
            continue
        parts = reference.partition(":")[0].split(".")
        # A package's __init__.py lies one folder deeper than its name says.
        depth = len(parts) - (source.name != "__init__.py")
        root = source.parents[depth]
        files = [source] if len(parts) == 1 and depth == 0 else (root / parts[0]).rglob("*.py")
        for file in files:
            target = code_dir(run) / file.relative_to(root)
            with publish.explained(target):
                target.parent.mkdir(parents=True, exist_ok=True)
            publish.publish_new(target, file.read_bytes())


def use(run: RunDir, sources: Mapping[str, str], import_path: Iterable[str]) -> None:
    """Make the copies, then ``import_path``, the first places to import from.

    Raises:
        RunError: a module here is another than the one that was planned with.
    """
    for entry in reversed([str(code_dir(run)), *import_path]):
        if entry not in sys.path:
            sys.path.insert(0, entry)
    importlib.invalidate_caches()
    for reference, planned in sources.items():
        if module_source_hash(reference) != planned:
            raise RunError(
                f"{module_source(reference)} is not the {reference} that {run.path} was planned "
                f"with: restore {code_dir(run)}, or launch into another run directory"
            )


def code_dir(run: RunDir) -> Path:
    return run.path / "code"
