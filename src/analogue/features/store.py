"""The on-disk store of feature activations: each model pass is paid for once, whoever asks for it."""

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from analogue.features.activations import FeatureActivations

log = logging.getLogger(__name__)

FORMAT_VERSION = "1"
ARRAYS = ("indptr", "indices", "values")


@dataclass(frozen=True)
class StoredActivations:
    """Activations together with what was measured while they were made (a JSON object)."""

    activations: FeatureActivations
    facts: dict[str, Any]


def content_key(**content: Any) -> str:
    """The name of an entry: a SHA-256 of everything that its activations follow from."""
    return hashlib.sha256(json.dumps({"format": FORMAT_VERSION} | content, sort_keys=True).encode()).hexdigest()[:32]


class ActivationStore:
    """Entries `<key>.safetensors` in one directory, memory-mapped when read.

    An entry appears whole or not at all (temporary name, fsync, rename), carries a checksum that is verified when it
    is opened, and is computed by one process at a time (`reserve`). A damaged entry counts as missing. When the
    entries outgrow `max_gb`, the least recently used go first.
    """

    def __init__(self, directory: str | Path, max_gb: float) -> None:
        self.directory = Path(directory)
        self.max_bytes = int(max_gb * 1e9)

    def get(self, key: str) -> StoredActivations | None:
        """The entry of that key, or None where there is none or it is damaged."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            stored = _read(path)
        except (SafetensorError, ValueError, KeyError, OSError) as error:
            log.warning("The cached activations %s are damaged (%s) and will be computed again.", path.name, error)
            return None
        os.utime(path)
        return stored

    def put(self, key: str, stored: StoredActivations) -> None:
        """Write an entry; a reader never sees a part of it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        temporary = self.directory / f".{key}.{os.getpid()}.tmp"
        try:
            _write(temporary, stored)
            os.replace(temporary, self._path(key))
        finally:
            temporary.unlink(missing_ok=True)
        self._make_room(keep=key)

    @contextmanager
    def reserve(self, keys: Sequence[str]) -> Iterator[None]:
        """Hold the locks of `keys`, so that nobody else computes them meanwhile; waits for those who do.

        Locks are taken in the order of the keys' names, so that two holders never wait for each other.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        locks = [FileLock(self.directory / f"{key}.lock") for key in sorted(set(keys))]
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

    def _make_room(self, keep: str) -> None:
        entries = sorted(self.directory.glob("*.safetensors"), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in entries:
            total += path.stat().st_size
            if total > self.max_bytes and path != self._path(keep):
                path.unlink(missing_ok=True)


def _write(path: Path, stored: StoredActivations) -> None:
    acts = stored.activations
    tensors = {name: torch.from_numpy(getattr(acts, name)) for name in ARRAYS}
    header = {"d_sae": str(acts.d_sae), "facts": json.dumps(stored.facts, sort_keys=True), "sha256": _checksum(tensors)}
    save_file(tensors, path, metadata=header)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _read(path: Path) -> StoredActivations:
    with safe_open(path, framework="pt") as file:
        header: Mapping[str, str] = file.metadata()
        tensors = {name: file.get_tensor(name) for name in ARRAYS}
    if _checksum(tensors) != header["sha256"]:
        raise ValueError("its checksum does not match")
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return StoredActivations(FeatureActivations(**arrays, d_sae=int(header["d_sae"])), json.loads(header["facts"]))


def _checksum(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in ARRAYS:
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()
