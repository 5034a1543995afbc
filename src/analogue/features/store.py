"""The on-disk store of feature activations: each model pass is computed once and shared by all jobs and processes."""

import hashlib
import json
import os
import stat
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from analogue.atomic import atomic_write
from analogue.errors import AnalogueWarning
from analogue.features.activations import FeatureActivations

FORMAT_VERSION = "3"  # an entry carries its own key
ARRAYS = ("indptr", "indices", "values")


@dataclass(frozen=True)
class StoredActivations:
    """Activations together with what was measured while they were computed (a JSON object)."""

    activations: FeatureActivations
    facts: dict[str, Any]


def content_key(**content: Any) -> str:
    """The name of an entry: a SHA-256 of everything that its activations depend on."""
    return hashlib.sha256(json.dumps({"format": FORMAT_VERSION} | content, sort_keys=True).encode()).hexdigest()[:32]


class ActivationStore:
    """Entries `<key>.safetensors` in one directory, memory-mapped when read.

    An entry appears as a complete file or not at all (temporary name, fsync, rename), carries a checksum that is
    verified when it is opened, and is computed by one process at a time (`reserve`). It carries its own key: an entry
    that was copied or renamed to another's name is damaged, and a damaged entry counts as missing.
    When the entries outgrow `max_gb`, the least recently used are removed first; the one just written and reserved ones
    stay, even where they alone are too large. Activations that have been opened stay readable after their entry is
    removed.

    Args:
        directory: made when the first entry is written or reserved.
        max_gb: 10^9 bytes that the entries may take.
    """

    def __init__(self, directory: str | Path, max_gb: float) -> None:
        self.directory = Path(directory)
        self.max_bytes = int(max_gb * 1e9)

    def get(self, key: str) -> StoredActivations | None:
        """The entry of that key; None if there is none or it is damaged."""
        path = self._path(key)
        try:
            stored = _read_entry(path, key)
        except DamagedEntryError as error:
            message = f"the cached activations {path.name} are damaged ({error}) and will be computed again"
            warnings.warn(message, AnalogueWarning, stacklevel=2)
            return None
        with suppress(OSError):  # it may have been removed since, or belong to another user
            os.utime(path)
        return stored

    def __contains__(self, key: str) -> bool:
        """Whether there is an entry of that key; `get` may yet find it damaged."""
        return self._path(key).is_file()

    def put(self, key: str, stored: StoredActivations) -> None:
        """Write an entry; a reader never sees a part of it.

        Raises:
            OSError: the disk does not take it.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._path(key)) as temporary:
            _write_entry(temporary, key, stored)
        self._make_room(keep=key)

    @contextmanager
    def reserve(self, keys: Sequence[str]) -> Iterator[None]:
        """Lock `keys`, so that no other process computes them meanwhile; waits for those that do.

        Locks are taken in the order of the keys, so that no two processes wait for each other.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as taken:
            for key in sorted(set(keys)):
                taken.enter_context(self._lock(key))
            yield

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}.safetensors"

    def _lock(self, key: str) -> FileLock:
        return FileLock(self.directory / f"{key}.lock")

    def _make_room(self, keep: str) -> None:
        oldest_first = sorted((*_last_use_and_size(path), path) for path in self.directory.glob("*.safetensors"))
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


def _last_use_and_size(path: Path) -> tuple[float, int]:
    """When a file was last used, and its bytes; the present and 0 if another process has removed it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return time.time(), 0
    return found.st_mtime, found.st_size


class DamagedEntryError(Exception):
    """A file does not hold what was written to it."""


def _write_entry(path: Path, key: str, stored: StoredActivations) -> None:
    """Write a file and sync it to the disk: safetensors with its key and a checksum of all that it holds."""
    acts = stored.activations
    tensors = {name: torch.from_numpy(getattr(acts, name)) for name in ARRAYS}
    header = {"key": key, "d_sae": str(acts.d_sae), "facts": json.dumps(stored.facts, sort_keys=True)}
    try:
        save_file(tensors, path, metadata=header | {"sha256": _checksum(tensors, header)})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _read_entry(path: Path, key: str) -> StoredActivations | None:
    """Read the file of that key, memory-mapped; returns None if there is none.

    Reading opens the file more than once. If another process replaces it in between, it is read again.

    Raises:
        DamagedEntryError: its checksum does not match, it is another key's, or it is of another kind.
    """
    while (identity := _identity(path)) is not None:
        try:
            return _read(path, key)
        except (SafetensorError, ValueError, KeyError, RuntimeError, OSError) as error:
            if _identity(path) == identity:
                raise DamagedEntryError(str(error)) from error
    return None


def _identity(path: Path) -> tuple[int, int] | None:
    """Inode and time of change, which together differ for every file that was ever at `path`; None if there is none.

    What is no regular file counts as none: a pipe would be waited for.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return None if not stat.S_ISREG(found.st_mode) else (found.st_ino, found.st_ctime_ns)


def _read(path: Path, key: str) -> StoredActivations:
    with safe_open(path, framework="pt") as file:
        header: Mapping[str, str] = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in ARRAYS}
    if _checksum(tensors, header) != header["sha256"]:
        raise ValueError("its checksum does not match")
    if header["key"] != key:
        raise ValueError(f"it is the entry of {header['key']}")
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return StoredActivations(FeatureActivations(**arrays, d_sae=int(header["d_sae"])), json.loads(header["facts"]))


def _checksum(tensors: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps([header[name] for name in ("key", "d_sae", "facts")]).encode())
    for name in ARRAYS:
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()
