"""The files of a job and of a sweep, each written whole or not at all."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from analogue.atomic import atomic_write

RESULT_FILE = "result.json"
PAIRS_FILE = "pairs.parquet"
NULLS_FILE = "nulls.parquet"
FAILURE_FILE = "failure.json"
TRACEBACK_FILE = "traceback.txt"


def write_text(text: str, path: Path) -> None:
    """A UTF-8 text file."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(table: pa.Table, path: Path) -> None:
    """A Parquet file."""
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
