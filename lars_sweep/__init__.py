"""Sweeps and scaling laws for large-batch training with LARS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna
    import pyarrow as pa

__version__ = "0.1.0"
__all__ = ["__version__", "load_outcomes", "load_study"]


def load_outcomes(run: str | Path) -> pa.Table:
    """All finished trials of a run, one row each, in the schema of the README's table.

    Args:
        run: a run directory.

    Raises:
        RunError: no run directory there.
        OutcomeError: it was written by a newer lars-sweep.
    """
    from lars_sweep.outcomes.store import load_table
    from lars_sweep.rundir.layout import open_run

    return load_table(open_run(Path(run)), "outcomes")


def load_study(run: str | Path, stratum: str) -> optuna.Study:
    """One stratum of a run as an in-memory Optuna study, rebuilt from the outcomes.

    Args:
        run: a run directory.
        stratum: a name that `lars-sweep status` shows.

    Raises:
        RunError: no run directory there, or no such stratum in it.
    """
    from lars_sweep.rundir.layout import open_run
    from lars_sweep.study.project import load_study as load

    return load(open_run(Path(run)), stratum)
