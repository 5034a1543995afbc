"""Documents from a file: `.txt`, `.jsonl` or `.parquet`."""

import json
from collections.abc import Callable
from pathlib import Path

from analogue.embedded import locate
from analogue.errors import UserError

TEXT_COLUMN = "text"


def read_texts(path: str, key: str = "data.path") -> list[str]:
    """Read the documents of a text file, in file order; empty ones are left out.

    Args:
        path: `.txt` (documents separated by blank lines), `.jsonl` (one object a line, key `text`) or `.parquet`
            (column `text`); or an `embedded:` name.
        key: the configuration key that the path came from, for errors.

    Raises:
        UserError: no such file, an unknown suffix, no text in it.
    """
    file = Path(locate(path, key))
    reader = _READERS.get(file.suffix)
    if reader is None:
        raise UserError(key, path, f"has the suffix '{file.suffix}'; use one of {', '.join(_READERS)}")
    if not file.is_file():
        raise UserError(key, path, f"is not a file; give the path of a {', '.join(_READERS)} file")
    try:
        texts = [text for text in reader(file) if text.strip()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(key, path, f"cannot be read ({error}); each record needs a string '{TEXT_COLUMN}'") from error
    if not texts:
        raise UserError(key, path, "holds no text; give a file with at least one non-empty document")
    return texts


def _read_txt(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").split("\n\n")


def _read_jsonl(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [json.loads(line)[TEXT_COLUMN] for line in lines if line.strip()]


def _read_parquet(file: Path) -> list[str]:
    import pyarrow.parquet as pq

    columns = pq.read_schema(file).names
    if TEXT_COLUMN not in columns:
        raise ValueError(f"its columns are {', '.join(columns)}")
    return [text or "" for text in pq.read_table(file, columns=[TEXT_COLUMN])[TEXT_COLUMN].to_pylist()]


_READERS: dict[str, Callable[[Path], list[str]]] = {".txt": _read_txt, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
