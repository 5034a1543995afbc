"""Documents from a file (`.txt`, `.jsonl` or `.parquet`) or a data set of the hub."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from analogue.corpus.streamed import StreamedTexts
from analogue.embedded import locate
from analogue.errors import InvalidArgument, NotFound, Unavailable, first_line

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def read_texts(
    path: str,
    column: str = "text",
    subset: str | None = None,
    split: str = "train",
    shuffle_seed: int | None = None,
) -> Iterable[str]:
    """The documents of a text file, in file order, or of a hub data set; empty ones are left out.

    Args:
        path: `.txt` (documents separated by blank lines), `.jsonl` (one object a line) or `.parquet`; an `embedded:`
            name; or `OWNER/NAME` of a hub data set, which is streamed as far as it is read.
        column: where the text stands in `.jsonl`, `.parquet` and hub data sets.
        subset: configuration of a hub data set that has several.
        split: of a hub data set.
        shuffle_seed: of a hub data set; None for its own order.

    Raises:
        NotFound: no such file or column.
        Unavailable: a file that cannot be read.
        InvalidArgument: an unknown suffix, or no text in the file.
    """
    file = Path(locate(path, "path")).expanduser()
    reader = _READERS.get(file.suffix)
    if reader is None and HUB_NAME.fullmatch(path) and not file.exists():
        return StreamedTexts(path, column, subset, split, shuffle_seed)
    if reader is None:
        raise InvalidArgument("path", path, f"has the suffix '{file.suffix}'; use one of {', '.join(_READERS)}")
    if not file.is_file():
        raise NotFound("path", path, f"is not a file; give the path of a {', '.join(_READERS)} file")
    try:
        texts = [text for text in reader(file, column) if text.strip()]
    except (OSError, ValueError) as error:
        raise Unavailable("path", path, f"cannot be read: {first_line(error)}") from error
    if not texts:
        raise InvalidArgument("path", path, "holds no text; give a file with at least one non-empty document")
    return texts


def _read_txt(file: Path, column: str) -> list[str]:
    return file.read_text(encoding="utf-8").split("\n\n")


def _read_jsonl(file: Path, column: str) -> list[str]:
    with file.open(encoding="utf-8") as lines:  # str.splitlines would cut at line separators inside a text
        return [_text_of(line, number, column) for number, line in enumerate(lines, 1) if line.strip()]


def _text_of(line: str, number: int, column: str) -> str:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number} is not JSON ({error.msg} in column {error.colno})") from error
    if not isinstance(record, dict) or column not in record:
        held = f"has {', '.join(record) or 'no keys'}" if isinstance(record, dict) else "is no object"
        raise ValueError(f"line {number} {held}, where '{column}' is needed (`column`)")
    text = record[column]
    if not isinstance(text, str | None):
        raise ValueError(f"line {number} holds no text under '{column}' (`column`)")
    return text or ""


def _read_parquet(file: Path, column: str) -> list[str]:
    import pyarrow.parquet as pq

    columns = pq.read_schema(file).names
    if column not in columns:
        raise ValueError(f"its columns are {', '.join(columns)}, none is '{column}' (`column`)")
    texts = pq.read_table(file, columns=[column])[column].to_pylist()
    if not all(isinstance(text, str | None) for text in texts):
        raise ValueError(f"its column '{column}' holds no text (`column`)")
    return [text or "" for text in texts]


_READERS: dict[str, Callable[[Path, str], list[str]]] = {
    ".txt": _read_txt,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
