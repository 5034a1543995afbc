"""Documents: from a file (`.txt`, `.jsonl` or `.parquet`), from a data set of the hub, or at hand."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from analogue.embedded import locate
from analogue.entries import make_room
from analogue.errors import (
    ArgumentError,
    InvalidArgument,
    NotFound,
    Unavailable,
    check_path,
    first_line,
    shown,
    warn,
)
from analogue.hub import hub_errors

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
# A data set's files are shuffled, then its documents in a buffer that is filled from one file at a time: reading a few
# hundred documents should not download the beginnings of ten files.
SHUFFLE = {"buffer_size": 1000, "max_buffer_input_shards": 1}
ENCODING = "utf-8-sig"  # UTF-8, with or without the byte order mark that Windows tools write
DOCUMENTS_PER_READ = 100
MOST_BYTES_KEPT = 2 * 10**9  # of all data sets
MOST_KEPT = 10_000  # documents of a data set that are kept on disk; a training corpus is streamed again


def read_texts(
    path: str | PathLike[str] | Iterable[str],
    column: str = "text",
    subset: str | None = None,
    split: str = "train",
    shuffle_seed: int | None = None,
    chat: bool = False,
) -> Iterable[str]:
    """The documents of a text file, in file order, of a hub data set, or of a list; empty ones are left out.

    Args:
        path: `.txt` (documents separated by blank lines), `.jsonl` (one object per line) or `.parquet`; an `embedded:`
            name; `OWNER/NAME` of a hub data set, which is streamed as far as it is read; or a list of documents.
        column: where the text stands in `.jsonl`, `.parquet` and hub data sets.
        subset: configuration of a hub data set that has several.
        split: of a hub data set.
        shuffle_seed: of a hub data set; None for its own order.
        chat: whether a document is a list of messages, each with `role` and `content`; it comes back as JSON, which
            `analogue.corpus.chat_texts` makes text of.

    Raises:
        NotFound: no such file. (Whether a data set exists shows when it is read.)
        Unavailable: a file that cannot be read, or has no such column.
        InvalidArgument: an unknown suffix, or no text.
    """
    if not isinstance(path, str | PathLike):
        return _documents_at_hand(path, chat)
    name = str(path)
    check_path("path", Path(name).expanduser())
    file = Path(locate(name, "path")).expanduser()
    reader = _READERS.get(file.suffix)
    if reader is None and HUB_NAME.fullmatch(name) and not file.exists():
        return StreamedTexts(name, column, subset, split, shuffle_seed, chat)
    if reader is None:
        raise InvalidArgument("path", name, f"has the suffix '{file.suffix}'; {_PATHS}")
    if not file.is_file():
        raise NotFound("path", name, f"is not a file; give the path of a {', '.join(_READERS)} file")
    try:
        texts = [text for text in reader(file, column, chat) if text.strip()]
    except (OSError, ValueError) as error:
        raise Unavailable("path", name, f"cannot be read: {first_line(error)}") from error
    if not texts:
        raise InvalidArgument("path", name, "holds no text; give a file with at least one non-empty document")
    return texts


def _documents_at_hand(documents: Iterable[Any], chat: bool) -> list[str]:
    given = [*documents]
    others = [type(each).__name__ for each in given if not _is_document(each, chat)]
    if others:
        problem = f"holds {others[0]}, where {_WANTED[chat]} is needed"
        raise InvalidArgument("path", f"<{len(given)} documents>", problem)
    texts = [text for text in (_as_text(each, chat) for each in given) if text.strip()]
    if not texts:
        raise InvalidArgument("path", "[]", "holds no text; give at least one non-empty document")
    return texts


_WANTED = {False: "text", True: "a list of messages with role and content"}


def _is_document(value: Any, chat: bool) -> bool:
    if value is None or not chat:
        return isinstance(value, str | None)
    messages = value if isinstance(value, list) else [None]
    return all(isinstance(each, dict) and {"role", "content"} <= each.keys() for each in messages)


def _as_text(document: Any, chat: bool) -> str:
    return json.dumps(document, ensure_ascii=False) if chat and document else document or ""


def _read_txt(file: Path, column: str, chat: bool) -> list[str]:
    if chat:
        raise ValueError("it holds no messages; `chat` reads .jsonl, .parquet and data sets")
    return file.read_text(encoding=ENCODING).split("\n\n")


def _read_jsonl(file: Path, column: str, chat: bool) -> list[str]:
    with file.open(encoding=ENCODING) as lines:  # str.splitlines would cut at line separators inside a text
        return [_text_of(line, number, column, chat) for number, line in enumerate(lines, 1) if line.strip()]


def _text_of(line: str, number: int, column: str, chat: bool) -> str:
    try:
        record = json.loads(line)
    except RecursionError as error:
        raise ValueError(f"line {number} is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number} is not JSON ({error.msg} in column {error.colno})") from error
    if not isinstance(record, dict) or column not in record:
        held = f"has {', '.join(record) or 'no keys'}" if isinstance(record, dict) else "is no object"
        raise ValueError(f"line {number} {held}, where {shown(column)} is needed (`column`)")
    if not _is_document(record[column], chat):
        raise ValueError(f"line {number} holds no {_WANTED[chat].removeprefix('a ')} under '{column}' (`column`)")
    text = _as_text(record[column], chat)
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"line {number} holds half of a surrogate pair, which is no character")
    return text


def _read_parquet(file: Path, column: str, chat: bool) -> list[str]:
    import pyarrow.parquet as pq

    columns = pq.read_schema(file).names
    if column not in columns:
        raise ValueError(f"its columns are {', '.join(columns)}, none is {shown(column)} (`column`)")
    documents = pq.read_table(file, columns=[column])[column].to_pylist()
    if not all(_is_document(each, chat) for each in documents):
        raise ValueError(f"its column '{column}' holds no {_WANTED[chat].removeprefix('a ')} (`column`)")
    return [_as_text(each, chat) for each in documents]


_PATHS = "use one of .txt, .jsonl, .parquet, or put texts into a list"
_READERS: dict[str, Callable[[Path, str, bool], list[str]]] = {
    ".txt": _read_txt,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}


@dataclass(frozen=True)
class StreamedTexts:
    """The non-empty documents of a hub data set; each iteration gives the same ones in the same order.

    Documents that have been read once are kept in the user's cache directory: the jobs of a sweep do not fill the
    shuffle buffer again, and they run without a network. Each stands there with a checksum of itself, its place and
    the data set; a damaged file is read again from the hub.

    Attributes:
        name: `OWNER/NAME` on the hub.
        column: where the text stands.
        subset: the data set's configuration, where it has several.
        split: such as `train`.
        shuffle_seed: None for the data set's own order.
        chat: see `read_texts`.
    """

    name: str
    column: str
    subset: str | None
    split: str
    shuffle_seed: int | None
    chat: bool = False

    def __iter__(self) -> Iterator[str]:
        """Yield the documents.

        Raises:
            NotFound: no such data set, subset, split or column.
            InvalidArgument: no text in it.
            Unavailable: damaged files, or no network and not enough in the cache.
        """
        texts, are_all = self._kept()
        yield from texts
        n_read = len(texts)
        if are_all:
            return
        for some in self._streamed(n_read):
            self._keep(some, n_read)
            n_read += len(some)
            yield from some
        if n_read == 0:
            raise InvalidArgument("path", self.name, f"holds no text in its column '{self.column}' (`column`)")
        self._keep([None], n_read)

    def _streamed(self, n_skipped: int) -> Iterator[list[str]]:
        """The documents after the first `n_skipped`, some at a time."""
        texts: Iterator[str] | None = None
        while True:
            try:
                with hub_errors("path", self.name):
                    texts = texts or islice(self._texts(), n_skipped, None)
                    some = list(islice(texts, DOCUMENTS_PER_READ))
            except ArgumentError:
                raise
            except Exception as error:  # a damaged file can raise anything
                raise Unavailable("path", self.name, f"cannot be read: {first_line(error)}") from error
            if not some:
                return
            yield some

    def _texts(self) -> Iterator[str]:
        for row in self._rows():
            document = row[self.column]
            if not _is_document(document, self.chat):
                kind, wanted = type(document).__name__, _WANTED[self.chat]
                problem = f"holds {kind} in its column '{self.column}' (`column`), where {wanted} is needed"
                raise InvalidArgument("path", self.name, problem)
            text = _as_text(document, self.chat)
            if text.strip():
                yield text

    def _rows(self) -> Any:
        from datasets import load_dataset
        from datasets.exceptions import DatasetNotFoundError

        try:
            rows: Any = load_dataset(self.name, self.subset, split=self.split, streaming=True)
        except (ValueError, DatasetNotFoundError) as error:  # its message lists the subsets or splits that there are
            raise NotFound("path", self.name, f"cannot be opened: {' '.join(str(error).split())}") from error
        columns = rows.column_names or [*next(iter(rows), {})]
        if self.column not in columns:
            problem = f"has no column '{self.column}' (`column`); its columns are {', '.join(columns)}"
            raise NotFound("path", self.name, problem)
        rows = rows.select_columns([self.column])
        return rows if self.shuffle_seed is None else rows.shuffle(seed=self.shuffle_seed, **SHUFFLE)

    def _file(self) -> Path:
        """One line of JSON per document, its checksum and itself; after the last one of the data set, `null`."""
        about = {name: value for name, value in asdict(self).items() if name != "chat" or value}
        digest = hashlib.sha256(json.dumps(about | {"format": 2}, sort_keys=True).encode()).hexdigest()[:16]
        folder = user_cache_path("analogue", ensure_exists=True) / "texts"
        return folder / f"{self.name.replace('/', '--')}-{digest}.jsonl"

    def _kept(self) -> tuple[Sequence[Any], bool]:
        """The documents that are kept, and whether the data set holds no more."""
        file = self._file()
        lines = file.read_bytes().splitlines(keepends=True) if file.is_file() else []
        complete = [line for line in lines if line.endswith(b"\n")]  # a killed process leaves half a line
        try:
            texts = [self._checked(line, place) for place, line in enumerate(complete)]
        except ValueError as error:
            message = f"the kept documents {file} are damaged ({first_line(error)}) and will be read again"
            warn(message)
            file.unlink(missing_ok=True)
            return [], False
        if texts:
            os.utime(file)
        are_all = bool(texts) and texts[-1] is None
        return texts[: len(texts) - are_all], are_all

    def _keep(self, texts: Sequence[str | None], n_before: int) -> None:
        """Append, unless another process has been faster: every process appends the same documents."""
        if n_before >= MOST_KEPT:
            return
        file = self._file()
        file.parent.mkdir(parents=True, exist_ok=True)
        if not n_before:
            make_room(file.parent.glob("*.jsonl"), MOST_BYTES_KEPT, _lock)
        with _lock(file), file.open("ab+") as kept:
            kept.seek(0)
            complete_lines, newline, _ = kept.read().rpartition(b"\n")
            if complete_lines.count(b"\n") + len(newline) == n_before:
                kept.truncate(len(complete_lines) + len(newline))
                lines = ([self._checksum(text, n_before + n), text] for n, text in enumerate(texts))
                kept.writelines(json.dumps(line).encode() + b"\n" for line in lines)

    def _checked(self, line: bytes, place: int) -> Any:
        """The document of a line; raise `ValueError` for one that is not what was written at that place."""
        content = json.loads(line)
        if not isinstance(content, list) or len(content) != 2 or content[0] != self._checksum(content[1], place):
            raise ValueError(f"the checksum of line {place + 1} does not match")
        return content[1]

    def _checksum(self, text: str | None, place: int) -> str:
        content = json.dumps([asdict(self), place, text], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def _lock(file: Path) -> FileLock:
    return FileLock(f"{file}.lock")
