"""One file of the store: activations and facts in safetensors, with a checksum of all that they hold."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from analogue.features.activations import FeatureActivations

ARRAYS = ("indptr", "indices", "values")


class DamagedEntryError(Exception):
    """A file does not hold what was written to it."""


@dataclass(frozen=True)
class StoredActivations:
    """Activations together with what was measured while they were made (a JSON object)."""

    activations: FeatureActivations
    facts: dict[str, Any]


def write_entry(path: Path, stored: StoredActivations) -> None:
    """Write a file, to the disk's own keeping before this returns.

    Raises:
        OSError: the disk does not take it.
    """
    acts = stored.activations
    tensors = {name: torch.from_numpy(getattr(acts, name)) for name in ARRAYS}
    header = {"d_sae": str(acts.d_sae), "facts": json.dumps(stored.facts, sort_keys=True)}
    try:
        save_file(tensors, path, metadata=header | {"sha256": _checksum(tensors, header)})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read_entry(path: Path) -> StoredActivations | None:
    """Read a file, memory-mapped; None if there is none.

    It is opened more than once on the way, and another may take its place in between: then it is read again.

    Raises:
        DamagedEntryError: if its checksum does not match, or it is of another kind.
    """
    while (identity := _identity(path)) is not None:
        try:
            return _read(path)
        except (SafetensorError, ValueError, KeyError, RuntimeError, OSError) as error:
            if _identity(path) == identity:
                raise DamagedEntryError(str(error)) from error
    return None


def _identity(path: Path) -> tuple[int, int] | None:
    """Of a file's content: its number can come back, but not with its time of change."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_ino, found.st_ctime_ns


def _read(path: Path) -> StoredActivations:
    with safe_open(path, framework="pt") as file:
        header: Mapping[str, str] = file.metadata() or {}
        tensors = {name: file.get_tensor(name) for name in ARRAYS}
    if _checksum(tensors, header) != header["sha256"]:
        raise ValueError("its checksum does not match")
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    return StoredActivations(FeatureActivations(**arrays, d_sae=int(header["d_sae"])), json.loads(header["facts"]))


def _checksum(tensors: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> str:
    digest = hashlib.sha256(json.dumps([header["d_sae"], header["facts"]]).encode())
    for name in ARRAYS:
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()
