"""The files of a job and of a sweep, each written whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

RESULT_FILE = "result.json"
PAIRS_FILE = "pairs.parquet"
NULLS_FILE = "nulls.parquet"
FAILURE_FILE = "failure.json"
TRACEBACK_FILE = "traceback.txt"


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file, then give it its name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: Path) -> None:
    """A UTF-8 text file."""
    write_whole(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_table(table: pa.Table, path: Path) -> None:
    """A Parquet file."""
    write_whole(path, lambda temporary: pq.write_table(table, temporary, compression="zstd"))
