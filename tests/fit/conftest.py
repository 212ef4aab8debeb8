"""The paper's tables as rows: fixtures, single runs, sigma unknown (PROTOCOL.md 18)."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lars_sweep.fit.rows import Rows

TABLES = Path(__file__).parents[2] / "analysis" / "reference"
IMAGENET = 1_281_167


def rows_of(tables: dict[int, str], model: str) -> Rows:
    """Rows of one model from some tables, by table number; the value is an augmentation or ''."""
    found = []
    for number, augmentation in tables.items():
        with (TABLES / f"table{number}.csv").open() as file:
            found += [
                row
                for row in csv.DictReader(file)
                if row["model"] == model
                and row.get("optimizer", "lars") == "lars"
                and augmentation in ("", row.get("augmentation", augmentation))
            ]
    unique = {(row["batch"], row["epochs"]): row for row in reversed(found)}
    rows = list(unique.values())
    return Rows(
        {
            "model": np.array([row["model"] for row in rows]),
            "global_batch": np.array([int(row["batch"]) for row in rows]),
            "epochs": np.array([float(row["epochs"]) for row in rows]),
            "samples": np.full(len(rows), IMAGENET),
            "accuracy": np.array([float(row["accuracy"]) for row in rows]),
            "base_lr": np.array([float(row.get("base_lr") or "nan") for row in rows]),
        }
    )


@pytest.fixture
def paper() -> Callable[[dict[int, str], str], Rows]:
    """Loader of the paper's rows."""
    return rows_of
