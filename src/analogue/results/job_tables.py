"""`pairs.parquet` and `nulls.parquet` of a job, checked when they are read: a damaged column is named."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from analogue.results.schema import DamagedRecord

_STRINGS = pa.list_(pa.string())
PAIRS = {
    "feature_a": pa.int64(),
    "feature_b": pa.int64(),
    "correlation": pa.float64(),
    "n_active_a": pa.int64(),
    "n_active_b": pa.int64(),
    "top_tokens_a": _STRINGS,
    "top_tokens_b": _STRINGS,
    "kept": pa.bool_(),
}
"""The columns that every table of pairs has, without a gap."""
TEXTS = ("context_a", "context_b", "dropped_by")


def read_pairs(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of pairs.

    Args:
        path: of the file.
        columns: those that are wanted; None for all.

    Raises:
        DamagedRecord: naming the column that is missing, of another type, has a gap or is out of range.
    """
    table = _read(path)
    for name, kind in PAIRS.items():
        column = _column(table, name, path)
        try:
            column.cast(kind)
        except pa.ArrowException as error:
            raise DamagedRecord(f"{path.name}: its column {name} is of {column.type}, not of {kind}") from error
        if column.null_count:
            raise DamagedRecord(f"{path.name}: its column {name} has {column.null_count} gaps")
        if pa.types.is_integer(kind) and len(column) and min(column.to_pylist()) < 0:
            raise DamagedRecord(f"{path.name}: its column {name} holds a number below 0")
    for name in (name for name in TEXTS if name in table.column_names):
        if not pa.types.is_string(table[name].type) and not pa.types.is_null(table[name].type):
            raise DamagedRecord(f"{path.name}: its column {name} is of {table[name].type}, not of string")
    for name in columns or ():
        _column(table, name, path)
    return table.select(columns) if columns else table


def read_nulls(path: Path) -> pa.Table:
    """The table of draws: a column of numbers per score.

    Raises:
        DamagedRecord: naming the column that holds something else.
    """
    table = _read(path)
    for name in table.column_names:
        if not pa.types.is_floating(table[name].type):
            raise DamagedRecord(f"{path.name}: its column {name} is of {table[name].type}, not of double")
    return table


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise DamagedRecord(f"{path.name} is no Parquet file that can be read") from error


def _column(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray:
    if table.column_names.count(name) != 1:
        raise DamagedRecord(f"{path.name}: it has no column {name}")
    return table[name]
