"""Documents of a hub data set, streamed as far as they are read and kept for the next job."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock
from platformdirs import user_cache_path

from analogue.errors import ArgumentError, InvalidArgument, NotFound, Unavailable, first_line
from analogue.hub import hub_errors

SHUFFLE = {"buffer_size": 1000, "max_buffer_input_shards": 1}
"""The files of a data set are shuffled, then its documents in a buffer. One file at a time feeds it: a few hundred
documents are no reason to download the beginnings of ten files."""

MOST_KEPT = 10_000
"""Documents of a data set that are kept on disk; a training corpus is streamed again."""

END = None
"""What follows the last document that is kept, where the data set holds no more."""


@dataclass(frozen=True)
class StreamedTexts:
    """The non-empty documents of a hub data set; each iteration gives the same ones in the same order.

    What was read once is kept in the user's cache directory: the jobs of a sweep do not fill the shuffle buffer again,
    and they run without a network.

    Attributes:
        name: `OWNER/NAME` on the hub.
        column: where the text stands.
        subset: the data set's configuration, where it has several.
        split: such as `train`.
        shuffle_seed: None for the data set's own order.
    """

    name: str
    column: str
    subset: str | None
    split: str
    shuffle_seed: int | None

    def __iter__(self) -> Iterator[str]:
        """Yield the documents.

        Raises:
            NotFound: no such data set, subset, split or column.
            InvalidArgument: no text in it.
            Unavailable: damaged files, or no network and not enough in the cache.
        """
        n_read = 0
        for text in self._kept():
            if text is END:
                return
            n_read += 1
            yield text
        for some in _batches(islice(self._stream(), n_read, None)):
            self._keep(some, n_read)
            n_read += len(some)
            yield from some
        if n_read == 0:
            raise InvalidArgument("path", self.name, f"holds no text in its column '{self.column}' (`column`)")
        self._keep([END], n_read)

    def _stream(self) -> Iterator[str]:
        try:
            with hub_errors("path", self.name):
                for row in self._rows():
                    text = row[self.column]
                    if not isinstance(text, str | None):
                        kind = type(text).__name__
                        problem = f"holds {kind} in its column '{self.column}' (`column`), where text is needed"
                        raise InvalidArgument("path", self.name, problem)
                    if text and text.strip():
                        yield text
        except ArgumentError:
            raise
        except Exception as error:  # whatever a damaged file leads to
            raise Unavailable("path", self.name, f"cannot be read: {first_line(error)}") from error

    def _rows(self) -> Any:
        from datasets import load_dataset
        from datasets.exceptions import DatasetNotFoundError

        try:
            rows: Any = load_dataset(self.name, self.subset, split=self.split, streaming=True)
        except (ValueError, DatasetNotFoundError) as error:  # what is wrong, and what there is instead
            raise NotFound("path", self.name, f"cannot be opened: {' '.join(str(error).split())}") from error
        columns = rows.column_names or [*next(iter(rows), {})]
        if self.column not in columns:
            problem = f"has no column '{self.column}' (`column`); its columns are {', '.join(columns)}"
            raise NotFound("path", self.name, problem)
        rows = rows.select_columns([self.column])
        return rows if self.shuffle_seed is None else rows.shuffle(seed=self.shuffle_seed, **SHUFFLE)

    def _file(self) -> Path:
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]
        return (
            user_cache_path("analogue", ensure_exists=True) / "texts" / f"{self.name.replace('/', '--')}-{digest}.jsonl"
        )

    def _kept(self) -> list[str | None]:
        file = self._file()
        lines = file.read_bytes().splitlines(keepends=True) if file.is_file() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]  # a killed process leaves half a line

    def _keep(self, texts: Sequence[str | None], n_before: int) -> None:
        """Append, unless another process has been faster: every process appends the same documents."""
        if n_before >= MOST_KEPT:
            return
        file = self._file()
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{file}.lock"), file.open("ab+") as kept:
            kept.seek(0)
            whole = kept.read().rpartition(b"\n")
            if whole[0].count(b"\n") + len(whole[1]) == n_before:
                kept.truncate(len(whole[0]) + len(whole[1]))
                kept.writelines(json.dumps(text).encode() + b"\n" for text in texts)


def _batches(texts: Iterator[str], size: int = 100) -> Iterator[list[str]]:
    while some := list(islice(texts, size)):
        yield some
