"""The on-disk store of feature activations: each model pass is paid for once, whoever asks for it."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from analogue.atomic import atomic_write
from analogue.features._entry import DamagedEntryError, StoredActivations, read_entry, write_entry

log = logging.getLogger(__name__)

FORMAT_VERSION = "2"
# Nobody writes a file for so long without a pause: a temporary one of this age was left by a process that was killed.
ABANDONED_SECONDS = 3600


def content_key(**content: Any) -> str:
    """The name of an entry: a SHA-256 of everything that its activations follow from."""
    return hashlib.sha256(json.dumps({"format": FORMAT_VERSION} | content, sort_keys=True).encode()).hexdigest()[:32]


class ActivationStore:
    """Entries `<key>.safetensors` in one directory, memory-mapped when read.

    An entry appears whole or not at all (temporary name, fsync, rename), carries a checksum that is verified when it
    is opened, and is computed by one process at a time (`reserve`). A damaged entry counts as missing. When the
    entries outgrow `max_gb`, the least recently used go first; the one just written and reserved ones stay, even where
    they alone are too many. What has been opened remains readable after its entry went.

    Args:
        directory: made when the first entry is written or reserved.
        max_gb: 10^9 bytes that the entries may take.
    """

    def __init__(self, directory: str | Path, max_gb: float) -> None:
        self.directory = Path(directory)
        self.max_bytes = int(max_gb * 1e9)

    def get(self, key: str) -> StoredActivations | None:
        """The entry of that key, or None where there is none or it is damaged."""
        path = self._path(key)
        try:
            stored = read_entry(path)
        except DamagedEntryError as error:
            log.warning("The cached activations %s are damaged (%s) and will be computed again.", path.name, error)
            return None
        with suppress(OSError):  # it may have gone since, or belong to somebody else
            os.utime(path)
        return stored

    def __contains__(self, key: str) -> bool:
        """Whether there is an entry of that key; it may yet turn out to be damaged."""
        return self._path(key).is_file()

    def put(self, key: str, stored: StoredActivations) -> None:
        """Write an entry; a reader never sees a part of it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._path(key)) as temporary:
            write_entry(temporary, stored)
        self._make_room(keep=key)

    @contextmanager
    def reserve(self, keys: Sequence[str]) -> Iterator[None]:
        """Hold the locks of `keys`, so that nobody else computes them meanwhile; waits for those who do.

        Locks are taken in the order of the keys' names, so that two holders never wait for each other.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        locks = [self._lock(key) for key in sorted(set(keys))]
        taken: list[FileLock] = []
        try:
            for lock in locks:
                lock.acquire()
                taken.append(lock)
            yield
        finally:
            for lock in reversed(taken):
                lock.release()

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}.safetensors"

    def _lock(self, key: str) -> FileLock:
        return FileLock(self.directory / f"{key}.lock")

    def _make_room(self, keep: str) -> None:
        for path in self.directory.glob(".*.tmp"):
            if time.time() - _state(path)[0] > ABANDONED_SECONDS:
                path.unlink(missing_ok=True)
        oldest_first = sorted((*_state(path), path) for path in self.directory.glob("*.safetensors"))
        total = sum(size for _, size, _ in oldest_first)
        for _, size, path in oldest_first:
            if total > self.max_bytes and path.stem != keep and self._remove_unless_reserved(path):
                total -= size

    def _remove_unless_reserved(self, path: Path) -> bool:
        try:
            with self._lock(path.stem).acquire(blocking=False):
                path.unlink(missing_ok=True)
        except Timeout:
            return False
        return True


def _state(path: Path) -> tuple[float, int]:
    """When a file was last used, and its bytes; now and none if another process removed it meanwhile."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return time.time(), 0
    return found.st_mtime, found.st_size
