"""Arrow schemas of the outcome tables, and rows to tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Literal

import pyarrow as pa

from lars_sweep.outcomes.schema import (
    CURVES,
    LAYERS,
    NOISE,
    OUTCOMES,
    SCHEMA_VERSION,
    Column,
    DType,
)

TableName = Literal["outcomes", "curves", "layers", "noise"]
COLUMNS: Mapping[TableName, tuple[Column, ...]] = {
    "outcomes": OUTCOMES,
    "curves": CURVES,
    "layers": LAYERS,
    "noise": NOISE,
}
_TYPES: Mapping[DType, pa.DataType] = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


_VALUES: Mapping[DType, tuple[type, ...]] = {
    "string": (str,),
    "int64": (int,),
    "float64": (float, int),
    "bool": (bool,),
    "timestamp": (datetime,),
}
"""A bool is an int to Python, and no number here."""


@cache
def arrow_schema(table: TableName) -> pa.Schema:
    """The Arrow schema: unit and meaning in field metadata, schema version in schema metadata."""
    fields = [
        pa.field(
            column.name,
            _TYPES[column.dtype],
            nullable=column.nullable,
            metadata={"unit": column.unit, "meaning": column.meaning},
        )
        for column in COLUMNS[table]
    ]
    metadata = {"lars_sweep.table": table, "lars_sweep.schema_version": str(SCHEMA_VERSION)}
    return pa.schema(fields, metadata=metadata)


def to_table(table: TableName, rows: Sequence[Mapping[str, object]]) -> pa.Table:
    """Rows that passed `check_row` as an Arrow table."""
    schema = arrow_schema(table)
    if not rows:  # pa.array would load pandas
        return pa.Table.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)
    arrays = [
        pa.array([row[field.name] for row in rows], type=field.type, from_pandas=False)
        for field in schema
    ]
    made = pa.Table.from_arrays(arrays, schema=schema)
    made.validate(full=True)
    return made


def check_row(table: TableName, row: Mapping[str, object]) -> None:
    """ValueError for a missing or unknown column, a null where none may be, or another type."""
    columns = COLUMNS[table]
    if wrong := row.keys() ^ {column.name for column in columns}:
        raise ValueError(f"not in the {table} schema or not in the row: {', '.join(sorted(wrong))}")
    for column in columns:
        value = row[column.name]
        if value is None:
            if not column.nullable:
                raise ValueError(f"{table}.{column.name} is null")
        elif not isinstance(value, _VALUES[column.dtype]) or (
            isinstance(value, bool) and column.dtype != "bool"
        ):
            raise ValueError(f"{table}.{column.name} is {value!r}, no {column.dtype}")


def warm_up() -> None:
    """Let pyarrow load pandas, as it does with the first array, at a moment of one's choice."""
    pa.array([])
