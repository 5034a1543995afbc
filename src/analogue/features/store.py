"""The on-disk store of feature activations: each model pass is computed once and shared by all jobs and processes."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock

from analogue.entries import DamagedEntryError, Tensors, make_room, read_entry, write_entry
from analogue.errors import warn
from analogue.features.activations import FeatureActivations

FORMAT_VERSION = "4"  # raise when an entry's file is written in another way
ARRAYS = ("indptr", "indices", "values")
T = TypeVar("T")


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
        return usable_entry(self._path(key), key, "the cached activations", _stored)

    def __contains__(self, key: str) -> bool:
        """Whether there is an entry of that key; `get` may yet find it damaged."""
        return self._path(key).is_file()

    def put(self, key: str, stored: StoredActivations) -> None:
        """Write an entry; a reader never sees a part of it.

        Raises:
            OSError: the disk does not take it.
        """
        acts = stored.activations
        tensors = {name: torch.from_numpy(getattr(acts, name)) for name in ARRAYS}
        header = {"d_sae": str(acts.d_sae), "facts": json.dumps(stored.facts, sort_keys=True)}
        write_entry(self._path(key), key, tensors, header)
        lock = lambda path: self._lock(path.stem)  # noqa: E731
        make_room(self.directory.glob("*.safetensors"), self.max_bytes, lock, keep=self._path(key))

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


def usable_entry(path: Path, key: str, what: str, read_as: Callable[[Tensors, dict[str, str]], T]) -> T | None:
    """What an entry holds; None if there is none, or if it is damaged, with a warning.

    Args:
        path: of the entry.
        key: that it must carry.
        what: what an entry holds, in the plural, for the warning.
        read_as: makes the result from tensors and header; raises KeyError or ValueError if they are of another kind.
    """
    try:
        found = read_entry(path, key)
        return None if found is None else read_as(*found)
    except (DamagedEntryError, KeyError, ValueError) as error:
        reason = f"it holds no {error}" if isinstance(error, KeyError) else error
        message = f"{what} {path.name} are damaged ({reason}) and will be computed again"
        warn(message)
        return None


def _stored(tensors: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> StoredActivations:
    arrays = {name: tensors[name].numpy() for name in ARRAYS}
    return StoredActivations(FeatureActivations(**arrays, d_sae=int(header["d_sae"])), json.loads(header["facts"]))
