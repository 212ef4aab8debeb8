"""Where the files of a data set may lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from lars_sweep.errors import DataError


def cache_home() -> Path:
    """The folder ``lars-sweep`` in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "lars-sweep"


def data_home() -> Path:
    """Where downloads go: ``$LARS_SWEEP_DATA``, else ``lars-sweep/data`` in the user's cache."""
    home = os.environ.get("LARS_SWEEP_DATA")
    return Path(home) if home else cache_home() / "data"


def find_files(
    name: str,
    files: Sequence[tuple[str, ...]],
    directory: Path | None,
    *,
    system: Path | None = None,
    ways: Sequence[str],
) -> dict[str, Path]:
    """The paths of all files of a data set, from the first place that holds any of them.

    Args:
        name: the data set.
        files: for each file the names it may have; the first is its key in the result.
        directory: where the user says it is: there or in its folder ``name``. Nowhere else is
            looked then, so that a mistyped directory is an error and not another copy.
        system: where a distribution's package puts it.
        ways: how to get the data, one a line of the error.

    Raises:
        DataError: no place holds them, or one holds them in part.
    """
    if directory is not None:
        places = [directory, directory / name]
    else:
        places = [data_home() / name, *([system] if system else [])]
    for place in places:
        found = {
            names[0]: path
            for names in files
            if (path := next((place / n for n in names if (place / n).is_file()), None))
        }
        missing = [" or ".join(names) for names in files if names[0] not in found]
        if not missing:
            return found
        if found:
            raise DataError(
                f"{name}: {place} lacks {', '.join(missing)}; to mend it:\n  " + "\n  ".join(ways)
            )
    looked = " and ".join(map(str, places))
    raise DataError(f"{name}: no files in {looked}; to get it:\n  " + "\n  ".join(ways))
