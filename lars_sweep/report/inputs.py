"""What a fit or a report is made from: run directories, outcome files from anywhere, the paper."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from lars_sweep.errors import OutcomeError
from lars_sweep.fit.analysis.groups import choice_metric
from lars_sweep.fit.rows import CONDITIONS, MINIMUM_COLUMNS, Rows
from lars_sweep.outcomes.store import load_table
from lars_sweep.outcomes.tables import arrow_schema
from lars_sweep.report.checks import check_outcomes, repeated, without_result
from lars_sweep.report.labels import listed
from lars_sweep.report.observations import GIVEN
from lars_sweep.report.published import LABEL, paper_files, paper_table
from lars_sweep.rundir.layout import RunDir, open_run

logger = logging.getLogger(__name__)

LAYER_COLUMNS = (
    "step", "layer", "weight_norm", "gradient_norm", "effective_lr", "update_ratio",
)  # fmt: skip
GAP_COLUMNS = ("trial_id", "epochs", "train_loss", "val_loss", "test_loss")
"""What the fits read of the curves."""
READ_COLUMNS = (*GAP_COLUMNS, "step", "val_accuracy", "test_accuracy")
"""What the fits and the figures read of them."""
LAYER_ROWS = 3_000_000
"""More layer rows than this are thinned, by leaving out evaluation points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One input: its tables, and what only the place they come from knows."""

    label: str
    outcomes: pa.Table
    curves: pa.Table | None
    layers: pa.Table | None
    provenance: Mapping[str, object]
    delta: float | None
    """The sweep file's, None for a file from elsewhere."""
    paired: bool
    """Whether all trials of a seed share their random numbers (the sweep file's)."""
    noise: pa.Table | None = None
    fixture: str
    """What to print of numbers that were published or simulated; empty for measured ones."""


def read_sources(inputs: Sequence[Path]) -> tuple[Source, ...]:
    """Every input, under labels that differ; an input that is named twice counts once.

    Raises:
        OutcomeError: an input is no table of outcomes; the message says what it lacks.
        RunError: a directory is no run.
    """
    found = [read_source(path) for path in dict.fromkeys(inputs)]
    counts = Counter(source.label for source in found)
    return tuple(
        source
        if counts[source.label] == 1
        else dataclasses.replace(source, label=f"{source.label} ({path})")
        for source, path in zip(found, dict.fromkeys(inputs), strict=True)
    )


def read_source(path: Path) -> Source:
    """One input: a run directory, a Parquet or CSV file, or ``paper`` and ``paper/tableN``."""
    published = None if path.exists() else paper_files(path.as_posix())
    if published is not None:
        table = paper_table(published)
        return _of_file(path.as_posix(), table, {"Tables": path.as_posix()}, fixture=LABEL)
    if path.is_dir():
        return _of_run(open_run(path))
    table = _read_file(path)
    check_outcomes(table, path)
    table, told = _counted(_unique(table, path), path)
    return _of_file(path.stem, table, {"File": path.name} | told, fixture="")


def _counted(table: pa.Table, path: Path) -> tuple[pa.Table, dict[str, object]]:
    """The table without columns that say nothing, runs without a result as failed.

    Returns:
        It, and what a reader must know of it: name → number of rows, in words.
    """
    empty = [
        name
        for name in table.column_names
        if name not in MINIMUM_COLUMNS and table[name].null_count == table.num_rows
    ]
    table = table.drop_columns(empty)
    told: dict[str, object] = {}
    none = without_result(table)
    if none.any():
        told["Rows without accuracy"] = f"{none.sum():,}, counted as failed"
        logger.warning(
            "%s: rows that ended ok without an accuracy, the first one row %d, count as failed: "
            "%d; give their accuracy, or the status that they ended with",
            path, np.argmax(none) + 1, none.sum(),
        )  # fmt: skip
        status = (
            table["status"].to_pylist() if "status" in table.column_names else ["ok"] * len(none)
        )
        values = pa.array(np.where(none, "failed", np.array(status, dtype=object)).tolist())
        at = table.schema.get_field_index("status")
        table = (
            table.append_column("status", values)
            if at < 0
            else table.set_column(at, "status", values)
        )
    again = 0 if "trial_id" in table.column_names else repeated(table)
    if again:
        told["Rows that repeat another"] = f"{again:,}, counted as seeds of their own"
        logger.warning(
            "%s: rows that repeat another one in every column%s, and count as seeds of their own: "
            "%d; leave them out if they are the same runs",
            path, ", seed included" if "seed" in table.column_names else "", again,
        )  # fmt: skip
    return table, told


def _of_file(
    label: str, outcomes: pa.Table, provenance: Mapping[str, object], *, fixture: str
) -> Source:
    return Source(
        label=label,
        outcomes=outcomes,
        curves=None,
        layers=None,
        provenance=provenance,
        delta=None,
        paired=False,
        fixture=fixture,
    )


def _of_run(run: RunDir) -> Source:
    spec = json.loads(str(run.content["spec"]))
    question = {"Question": spec["question"]} if spec.get("question") else {}
    provenance = {"Run id": run.run_id, "Sweep": run.sweep, "Spec hash": run.spec_hash}
    return Source(
        label=run.path.name if run.path.name != "" else run.sweep,
        outcomes=load_table(run, "outcomes"),
        curves=load_table(run, "curves", READ_COLUMNS),
        layers=thinned(load_table(run, "layers", LAYER_COLUMNS)),
        noise=load_table(run, "noise"),
        provenance=question | provenance,
        delta=float(spec["protocol"]["delta"]),
        paired=bool(spec["seeds"]["paired"]),
        fixture="SIMULATED, nothing was trained" if run.trainer == "analytic" else "",
    )


def thinned(layers: pa.Table) -> pa.Table:
    """About `LAYER_ROWS`: every k-th evaluation point of each trial, its first one among them.

    Args:
        layers: rows sorted by trial, then step.
    """
    every = -(-layers.num_rows // LAYER_ROWS)
    if every <= 1:
        return layers
    trial = layers["trial_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    step = layers["step"].to_numpy()
    # Rows are sorted by trial, then step: a new point begins wherever one of them changes.
    new = np.append(True, (np.diff(trial) != 0) | (np.diff(step) != 0))
    point = np.cumsum(new)
    first = np.append(True, np.diff(trial) != 0)
    start = np.maximum.accumulate(np.where(first, point, 0))
    return layers.filter(pa.array((point - start) % every == 0))


def _read_file(path: Path) -> pa.Table:
    readers = {".parquet": pq.read_table, ".csv": pyarrow.csv.read_csv}
    reader = readers.get(path.suffix.lower())
    if not path.exists():
        raise OutcomeError(
            f"{path}: there is no such file or run directory; name a run directory, a .parquet or "
            ".csv file of outcomes, or `paper` for the published tables"
        )
    if reader is None:
        raise OutcomeError(
            f"{path}: got a file of type {path.suffix or 'unknown'!r}; allowed: .parquet, .csv, or "
            "a run directory"
        )
    try:
        return reader(path)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise OutcomeError(f"{path}: cannot be read as {path.suffix[1:]}: {reason}") from error


def _unique(table: pa.Table, path: Path) -> pa.Table:
    """Each trial once, where the table names its trials."""
    if "trial_id" not in table.column_names:
        return table
    first = ~_repeats(table["trial_id"].to_pylist())
    if not first.all():
        logger.warning("%s: %d rows repeat a trial and count once", path, int((~first).sum()))
    return table.filter(pa.array(first))


def _repeats(ids: list[object]) -> np.ndarray:
    """True where an id was seen before (n,); rows without one repeat nothing."""
    seen: set[object] = set()
    found = []
    for value in ids:
        found.append(value is not None and value in seen)
        seen.add(value)
    return np.array(found, dtype=bool)


def fixture_of(sources: Sequence[Source]) -> str:
    """What to print of all inputs: each fixture with the labels it holds for, unless for all."""
    told = sorted({source.fixture for source in sources} - {""})
    labels = {text: [s.label for s in sources if s.fixture == text] for text in told}
    return "; ".join(
        text if len(mine) == len(sources) else f"{text}: {listed(mine)}"
        for text, mine in labels.items()
    )


def pooled(sources: Sequence[Source], delta: float | None = None) -> Source:
    """All inputs as one; a trial that two of them hold counts once.

    Rows that must not be fitted together are told apart by their conditions as within one run.

    Raises:
        OutcomeError: the runs' sweep files differ in delta, and none is stated here.
    """
    deltas = {source.delta for source in sources if source.delta is not None}
    if len(deltas) > 1 and delta is None:
        got = ", ".join(f"{delta:g}" for delta in sorted(deltas))
        raise OutcomeError(f"the runs' sweep files differ in delta ({got}); name one with --delta")

    def joined(tables: list[pa.Table]) -> pa.Table:
        return pa.concat_tables(tables, promote_options="permissive").replace_schema_metadata()

    curves = [source.curves for source in sources if source.curves is not None]
    layers = [source.layers for source in sources if source.layers is not None]
    noise = [source.noise for source in sources if source.noise is not None]
    outcomes = joined([source.outcomes for source in sources])
    return Source(
        label=" + ".join(source.label for source in sources),
        outcomes=_unique(outcomes, Path("all inputs")),
        curves=joined(curves) if curves else None,
        layers=joined(layers) if layers else None,
        noise=joined(noise) if noise else None,
        provenance={source.label: dict(source.provenance) for source in sources},
        delta=next(iter(deltas), None),
        paired=all(source.paired for source in sources),
        fixture=fixture_of(sources),
    )


def to_rows(table: pa.Table) -> Rows:
    """An Arrow table as what the fits read: nulls become NaN in numbers, None elsewhere.

    A column without any value says nothing and is left out, unless every fit needs it.
    """
    columns = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        kind = column.type
        empty = len(column) and column.null_count == len(column)
        if pa.types.is_timestamp(kind) or (empty and name not in MINIMUM_COLUMNS):
            continue
        if pa.types.is_string(kind):
            columns[name] = _texts(column)
        elif pa.types.is_floating(kind) or pa.types.is_null(kind):
            columns[name] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        elif pa.types.is_integer(kind) and not column.null_count:
            columns[name] = column.to_numpy()
        elif pa.types.is_integer(kind):
            columns[name] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        else:
            columns[name] = np.array(column.to_pylist(), dtype=object)
    return Rows(columns)


def _texts(column: pa.Array) -> np.ndarray:
    """Strings as objects (n,), one object for all rows of equal text; None for a null."""
    coded = column.dictionary_encode()
    values = np.array([*coded.dictionary.to_pylist(), None], dtype=object)
    at = coded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(values[at])


def completed(source: Source) -> pa.Table:
    """The outcomes with every column of the schema, as a report's figures read them.

    What a table from elsewhere lacks is null; trial, stratum and seed are made up from the rows'
    content, so that rows which differ in their seed only are one point.
    """
    table, rows = source.outcomes, source.outcomes.num_rows
    schema = arrow_schema("outcomes")
    if set(schema.names) <= set(table.column_names):
        return table
    known = {name: table[name].to_pylist() for name in CONDITIONS if name in table.column_names}
    strata = [
        " ".join(f"{name}={values[i]}" for name, values in known.items()) for i in range(rows)
    ]
    lrs = table["base_lr"].to_pylist() if "base_lr" in table.column_names else [None] * rows
    made: dict[str, list[object]] = {
        "trial_id": [f"row {i}" for i in range(rows)],
        "sweep": [source.label] * rows,
        "stratum": list(strata),
        "params": [json.dumps({"base_lr": lr}) for lr in lrs],
        "point": [0] * rows,
        "status": ["ok"] * rows,
        "optimizer": ["unknown"] * rows,
        "dataset": ["unknown"] * rows,
        "split": ["held_out" if choice_metric(to_rows(table)) == "accuracy_val" else GIVEN] * rows,
        "seed": _numbered([(stratum, lr) for stratum, lr in zip(strata, lrs, strict=True)]),
        "attempts": [1] * rows,
    }
    arrays = []
    for field in schema:
        if field.name in table.column_names:
            arrays.append(table[field.name].combine_chunks().cast(field.type))
        elif field.name in made:
            arrays.append(pa.array(made[field.name], type=field.type))
        else:
            arrays.append(pa.nulls(rows, field.type))
    fields = [field.with_nullable(True) for field in schema]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _numbered(keys: list[tuple[object, ...]]) -> list[object]:
    """How many equal keys came before, per row."""
    seen: Counter[tuple[object, ...]] = Counter()
    numbers: list[object] = []
    for key in keys:
        numbers.append(seen[key])
        seen[key] += 1
    return numbers
