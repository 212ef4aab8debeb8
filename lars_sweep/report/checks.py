"""Whether a table from elsewhere can be outcomes: every value that cannot be, told at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lars_sweep.errors import OutcomeError
from lars_sweep.fit.linear import FloatArray
from lars_sweep.fit.rows import MINIMUM_COLUMNS
from lars_sweep.outcomes.tables import arrow_schema

STATUSES = ("ok", "diverged", "pruned", "failed")

_EVERYWHERE = ("global_batch", "epochs", "samples")
_ABOVE_ZERO = (*_EVERYWHERE, "base_lr", "lr_peak", "trust_coefficient")
_FROM_ZERO = (
    "momentum", "weight_decay", "power", "warmup_epochs", "warmup_start", "lr_excluded",
)  # fmt: skip
_ACCURACIES = ("accuracy", "accuracy_val", "accuracy_tail")
_NAMES = ("model", "dataset", "optimizer")
"""An empty name would be a setting of its own beside the named ones."""
_LIKELY_SHARE = 0.2
"""A best accuracy from here to 1 is taken for a share, below it for runs that learned nothing."""
_LARGEST = 2.0**53
"""Whole numbers beyond it have no float of their own."""
_SHOWN = 3
"""Different wrong values of a column that are told."""
Mask = npt.NDArray[np.bool_]


def check_outcomes(table: pa.Table, path: Path) -> None:
    """Refuse a table that is none of outcomes, with everything that is wrong with it.

    Raises:
        OutcomeError: a missing column or one named twice, a wrong type, no rows, an unknown status,
            a value that cannot be (an accuracy that is a share instead of a percentage, an infinite
            LR); a line for each column, with the first row of the table that is wrong in it.
    """
    names = table.column_names
    missing = [name for name in MINIMUM_COLUMNS if name not in names]
    if missing:
        raise OutcomeError(
            f"{path}: no column {', '.join(missing)}; got {', '.join(names) or 'no columns'}; a "
            f"table of outcomes has at least {', '.join(MINIMUM_COLUMNS)} (and base_lr, optimizer, "
            "seed, status where there are)"
        )
    twice = {name: n for name, n in Counter(names).items() if n > 1}
    if twice:
        raise OutcomeError(
            "\n".join(
                f"{path}: column {name}: got it {n} times; allowed: once; rename or drop the others"
                for name, n in twice.items()
            )
        )
    if not table.num_rows:
        raise OutcomeError(f"{path}: the table has no rows; a fit needs finished trials")
    told = [text for name in names for text in _wrong(table, name)]
    if told:
        raise OutcomeError("\n".join(f"{path}: {text}" for text in told))


def _wrong(table: pa.Table, name: str) -> Iterator[str]:
    """What is wrong with a column; nothing is known of a column outside the schema."""
    column, kind = table[name], table[name].type
    if name not in arrow_schema("outcomes").names:
        return
    wanted = arrow_schema("outcomes").field(name).type
    if pa.types.is_binary(kind):
        yield f"column {name}: got bytes that are no UTF-8; allowed: text; save the file as UTF-8"
    elif pa.types.is_integer(wanted) or pa.types.is_floating(wanted):
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if number or (pa.types.is_null(kind) and name not in _EVERYWHERE):
            yield from _wrong_numbers(table, name, whole=pa.types.is_integer(wanted))
        else:
            got = "nothing" if pa.types.is_null(kind) else kind
            yield f"column {name}: got {got}; allowed: numbers"
    elif name == "status" or name in _NAMES:
        yield from _wrong_texts(column.to_pylist(), name)
    else:
        try:
            column.cast(wanted)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            yield f"column {name}: got {kind}; allowed: {wanted}; convert, rename or drop it"


def _wrong_texts(values: list[object], name: str) -> Iterator[str]:
    texts = ["" if value is None else str(value) for value in values]
    if name == "status":
        bad = np.array([text not in STATUSES for text in texts])
        allowed = ", ".join(STATUSES)
    else:
        bad = np.array([not text for text in texts])
        allowed = "a name in every row"
        if bad.all() and name not in MINIMUM_COLUMNS:
            return
    if bad.any():
        yield f"{'' if name == 'status' else 'column '}{name}: {_got(texts, bad)}; " + (
            f"allowed: {allowed}"
        )


def _wrong_numbers(table: pa.Table, name: str, *, whole: bool) -> Iterator[str]:
    """Each rule that a column of numbers breaks."""
    x = floats(table[name])
    there = ~np.isnan(x)
    if name == "base_lr" and there.any() and not there.all():
        yield f"column {name}: {_got(x, ~there)}; allowed: an LR in every row, or in none"
    elif name in _EVERYWHERE and not there.all():
        yield f"column {name}: {_got(x, ~there)}; allowed: a number above 0 in every row"
    finite = np.isfinite(x)
    if name in _ACCURACIES:
        bad, allowed = there & ~((x >= 0.0) & (x <= 100.0)), "percent, 0 to 100"
    elif name in _ABOVE_ZERO:
        bad, allowed = there & ~(finite & (x > 0.0)), "a finite number above 0"
    elif name in _FROM_ZERO:
        bad, allowed = there & ~(finite & (x >= 0.0)), "a finite number from 0 on"
    else:
        bad, allowed = np.zeros(len(x), dtype=bool), ""
    if bad.any():
        mend = "mend these rows or leave them out"
        yield f"column {name}: {_got(x, bad)}; allowed: {allowed}; {mend}"
    if whole:
        fraction = there & ~bad & ~((np.abs(x) <= _LARGEST) & (x == np.floor(x)))
        if fraction.any():
            yield f"column {name}: {_got(x, fraction)}; allowed: whole numbers"
    if name in _ACCURACIES and not bad.any():
        # runs that diverged may all be at 0.1 %
        ended = x[there & _ended(table)]
        if len(ended) and _LIKELY_SHARE <= ended.max() <= 1.0:
            best = f"got at most {ended.max():g}"
            yield f"column {name}: {best}; allowed: percent; multiply it by 100"


def _ended(table: pa.Table) -> Mask:
    """True (n,) where a run ended ok; a table without the column holds finished runs only."""
    if "status" not in table.column_names:
        return np.ones(table.num_rows, dtype=bool)
    return np.array([value == "ok" for value in table["status"].to_pylist()], dtype=bool)


def floats(column: pa.ChunkedArray) -> FloatArray:
    """A column of numbers (n,), NaN where there is none."""
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)


def _got(values: FloatArray | list[str], bad: Mask) -> str:
    """``got 0, -1 in row 3 and 2 more``: different wrong values, and the first row, from 1."""
    at = np.flatnonzero(bad)
    shown = list(dict.fromkeys(_text(values[i]) for i in at))
    told = ", ".join([*shown[:_SHOWN], *(["..."] if len(shown) > _SHOWN else [])])
    more = f" and {len(at) - 1:,} more" if len(at) > 1 else ""
    return f"got {told} in row {at[0] + 1:,}{more}"


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value or "nothing"
    return "nothing" if np.isnan(value) else f"{value:g}"


def without_result(table: pa.Table) -> Mask:
    """True (n,) where a run ended ok but has no accuracy that a fit could read."""
    known = np.zeros(table.num_rows, dtype=bool)
    for name in ("accuracy", "accuracy_tail"):
        if name in table.column_names:
            known |= ~np.isnan(floats(table[name]))
    return _ended(table) & ~known


def repeated(table: pa.Table) -> int:
    """Rows that equal an earlier one in every column, the seed included."""
    return int(table.to_pandas().duplicated().sum())
