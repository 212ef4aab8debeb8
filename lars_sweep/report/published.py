"""The paper's tables as outcome rows: fixtures, single runs whose noise nobody knows.

What a table does not repeat is taken from the text and the sweeps under sweeps/paper: η is 0.001,
Table 5 goes on from Tables 3 and 4 (its ResNet-50 has their extended augmentation: 74.4 at 16K),
an accuracy of 0.1 % is that of guessing among 1,000 classes, a diverged run. The largest LR of a
schedule follows from Caffe's quadratic decay, which counts from step 0: γ0 (1 - warm-up/E)².
"""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import pyarrow as pa

from lars_sweep.errors import OutcomeError
from lars_sweep.shipped import shipped

NAME = "paper"
"""The input that stands for all tables; ``paper/table3`` for one."""
LABEL = "published numbers (single runs, sigma unknown)"
IMAGENET = 1_281_167
_CHANCE = 0.1
_AUGMENTATION = {"min": "minimal", "max": "extended"}
_OF_MODEL = {"alexnet": "minimal", "alexnet_bn": "minimal", "googlenet": "extended"}
_OF_TABLE = {"5c": "extended"}

_COLUMNS: dict[str, pa.DataType] = {
    "table": pa.string(),
    "model": pa.string(),
    "dataset": pa.string(),
    "split": pa.string(),
    "augmentation": pa.string(),
    "optimizer": pa.string(),
    "trust_coefficient": pa.float64(),
    "global_batch": pa.int64(),
    "base_lr": pa.float64(),
    "lr_peak": pa.float64(),
    "lr_chosen": pa.float64(),
    "warmup_epochs": pa.float64(),
    "epochs": pa.float64(),
    "samples": pa.int64(),
    "seed": pa.int64(),
    "status": pa.string(),
    "accuracy": pa.float64(),
}


def paper_files(name: str) -> list[Path] | None:
    """The tables of accuracies that a name stands for, None if it stands for none."""
    folder = shipped("reference")
    if name == NAME:
        # Table 2 holds norms, not outcomes.
        return [folder / f"table{number}.csv" for number in (1, 3, 4, 5, 6)]
    one = folder / f"{name.removeprefix(f'{NAME}/')}.csv"
    return [one] if name.startswith(f"{NAME}/") and one.is_file() else None


def paper_table(files: list[Path]) -> pa.Table:
    """Outcome rows of some tables; a run that two tables print is one row.

    Raises:
        OutcomeError: a file holds no accuracies (Table 2).
    """
    own = [row for path in files for row in _rows(path)]
    every = [row for path in paper_files(NAME) or () for row in _rows(path)]
    tuned = {_run(row): row for row in reversed(every) if row["base_lr"] is not None}
    found: dict[tuple[object, ...], dict[str, object]] = {}
    for row in own:
        if row["base_lr"] is None:  # Table 5 repeats neither the LR nor the warm-up of its batch
            source = tuned.get((*_run(row)[:-1], 100.0), {})
            row |= {name: source.get(name) for name in ("base_lr", "warmup_epochs")}
        found.setdefault((*_run(row), row["base_lr"]), row | {"lr_peak": _peak(row)})
    rows = list(found.values())
    return pa.table(
        {name: pa.array([row[name] for row in rows], type=kind) for name, kind in _COLUMNS.items()}
    )


def _peak(row: dict[str, object]) -> float | None:
    lr, warmup, epochs = row["base_lr"], row["warmup_epochs"], row["epochs"]
    if not (isinstance(lr, float) and isinstance(warmup, float) and isinstance(epochs, float)):
        return None
    return lr * (1.0 - warmup / epochs) ** 2


def _run(row: dict[str, object]) -> tuple[object, ...]:
    names = ("model", "augmentation", "optimizer", "global_batch", "epochs")
    return tuple(row[name] for name in names)


def _rows(path: Path) -> list[dict[str, object]]:
    with path.open(encoding="utf-8", newline="") as file:
        printed = list(csv.DictReader(file))
    if printed and "accuracy" not in printed[0]:
        raise OutcomeError(f"{path.name} holds no accuracies; allowed: {NAME}, {NAME}/table1, 3-6")
    return [_row(row) for row in printed]


def _row(printed: dict[str, str]) -> dict[str, object]:
    table, model = printed["table"], printed["model"]
    lars = printed["optimizer"] == "lars"
    augmentation = _AUGMENTATION.get(printed.get("augmentation", ""))
    accuracy = float(printed["accuracy"])
    return {
        "table": table,
        "model": model,
        "dataset": "imagenet",
        "split": "paper",
        "augmentation": augmentation or _OF_TABLE.get(table) or _OF_MODEL[model],
        "optimizer": printed["optimizer"],
        "trust_coefficient": 0.001 if lars else None,
        "global_batch": int(printed["batch"]),
        "base_lr": _number(printed.get("base_lr", "")),
        "lr_chosen": float(lars),
        "warmup_epochs": _warmup(table, printed.get("warmup_epochs", "")),
        "epochs": float(printed["epochs"]),
        "samples": IMAGENET,
        "seed": 0,
        "status": "diverged" if accuracy <= _CHANCE else "ok",
        "accuracy": accuracy,
    }


def _warmup(table: str, text: str) -> float | None:
    """Epochs; "N/A" of Table 4 is no warm-up, elsewhere an empty cell is what is not told."""
    return 0.0 if table == "4" and not text else _number(text)


def _number(text: str) -> float | None:
    return float(text) if text else None


@functools.cache
def published_outcomes() -> pa.Table:
    """All tables of accuracies."""
    return paper_table(paper_files(NAME) or [])
