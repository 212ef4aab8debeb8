"""``package.module:function``: a user's own model or data set, named in a sweep file."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from lars_sweep.errors import SpecError

_NAME = r"[^\W\d]\w*"
_REFERENCE = re.compile(rf"{_NAME}(\.{_NAME})*:{_NAME}")


def is_reference(name: str) -> bool:
    """Whether a name has the form ``package.module:function``."""
    return _REFERENCE.fullmatch(name) is not None


def module_source_hash(reference: str) -> str:
    """Hash of the source file of the module; neither it nor its packages are executed.

    The module itself is covered, what it imports is not.

    Args:
        reference: ``package.module:function``, looked up as `load_object` does.

    Returns:
        64 hex digits of sha256.

    Raises:
        SpecError: not of this form, no such module, or the module has no source file.
    """
    return hashlib.sha256(module_source(reference).read_bytes()).hexdigest()


def module_source(reference: str) -> Path:
    """The source file of the module; nothing is executed.

    Raises:
        SpecError: as `module_source_hash`.
    """
    module, _ = _split(reference)
    origin = _find(reference, module).origin
    if origin is None or not origin.endswith(".py"):
        raise SpecError(
            f"{reference}: module {module} has no source file (found {origin or 'a folder'}); its "
            "hash is part of the trial's identity, so give a module that is one .py file"
        )
    return Path(origin)


def load_object(reference: str) -> Callable[..., Any]:
    """Import the module, found on ``sys.path`` or else in the working directory; get the function.

    Raises:
        SpecError: not of this form, no such module, it fails to import, or it has no such function.
    """
    module, name = _split(reference)
    _find(reference, module)
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        content = vars(importlib.import_module(module))
    except Exception as error:
        raise SpecError(
            f"{reference}: importing {module} failed: {type(error).__name__}: {error}"
        ) from error
    if not callable(content.get(name)):
        functions = sorted(
            key for key, value in content.items() if callable(value) and key[0] != "_"
        )
        raise SpecError(
            f"{reference}: module {module} has no function {name!r}; it has: "
            f"{', '.join(functions) or 'none'}"
        )
    function: Callable[..., Any] = content[name]
    return function


def _split(reference: str) -> tuple[str, str]:
    if not is_reference(reference):
        raise SpecError(
            f"got {reference!r}; allowed: package.module:function, as in mynets.resnet:resnet18"
        )
    module, _, name = reference.partition(":")
    return module, name


def _find(reference: str, module: str) -> ModuleSpec:
    # importlib.util.find_spec would execute the parent packages.
    search = [*sys.path, os.getcwd()]
    names = module.split(".")
    for depth in range(len(names)):
        spec = PathFinder.find_spec(".".join(names[: depth + 1]), search)
        if spec is None:
            where = "on sys.path or in the working directory" if depth == 0 else f"in {search[0]}"
            raise SpecError(
                f"{reference}: no module {'.'.join(names[: depth + 1])} {where}; start lars-sweep "
                "in the directory that holds it, install it, or add its directory to PYTHONPATH"
            )
        if depth + 1 == len(names):
            return spec
        search = list(spec.submodule_search_locations or ())
        if not search:
            raise SpecError(f"{reference}: {spec.name} is a module, not a package")
    raise AssertionError("a reference names at least one module")
