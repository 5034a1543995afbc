"""Entries of the caches on disk: tensors that carry their key and a checksum, and the room that entries may take."""

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from analogue.atomic import atomic_write, remove

Tensors = dict[str, torch.Tensor]
_OWN = ("key", "sha256")


class DamagedEntryError(Exception):
    """A file does not hold what was written to it under its key."""


def write_entry(path: Path, key: str, tensors: Mapping[str, torch.Tensor], header: Mapping[str, str]) -> None:
    """Write tensors with their key and a checksum of all that the file holds; it appears complete or not at all.

    Raises:
        OSError: the disk does not take it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = {**header, "key": key}
    with atomic_write(path) as temporary:
        try:
            save_file(dict(tensors), temporary, metadata=contents | {"sha256": _checksum(tensors, contents)})
        except SafetensorError as error:
            raise OSError(str(error)) from error
        with temporary.open("rb") as file:
            os.fsync(file.fileno())


def read_entry(path: Path, key: str) -> tuple[Tensors, dict[str, str]] | None:
    """The tensors of an entry, mapped into memory, and its header; None if there is no such file.

    Reading opens the file more than once. If another process replaces it in between, it is read again. An entry that
    was read counts as used.

    Raises:
        DamagedEntryError: its checksum does not match, it is another key's, or it is of another kind.
    """
    while (identity := _identity(path)) is not None:
        try:
            found = _read(path, key)
        except (SafetensorError, ValueError, KeyError, RuntimeError, OSError) as error:
            if _identity(path) == identity:
                raise DamagedEntryError(str(error)) from error
        else:
            with suppress(OSError):  # it may have been removed since, or belong to another user
                os.utime(path)
            return found
    return None


def make_room(
    entries: Iterable[Path], max_bytes: float, lock: Callable[[Path], FileLock], keep: Path | None = None
) -> None:
    """Remove the entries that were used least recently, until the others take no more than `max_bytes`.

    Args:
        entries: files, or folders of files; one is used when a file is written, or touched.
        lock: of an entry; one whose lock another process holds stays.
        keep: an entry that stays, even if it is too large alone.
    """
    oldest_first = sorted((*_last_use_and_size(entry), entry) for entry in entries)
    total = sum(size for _, size, _ in oldest_first)
    for _, size, entry in oldest_first:
        if total > max_bytes and entry != keep:
            with suppress(Timeout), lock(entry).acquire(blocking=False):
                remove(entry)
                total -= size


def _last_use_and_size(entry: Path) -> tuple[float, int]:
    """When an entry was last used, and its bytes; the present and 0 if another process has removed it."""
    try:
        found = [each.stat() for each in (entry.iterdir() if entry.is_dir() else (entry,))]
    except FileNotFoundError:
        found = []
    return max((each.st_mtime for each in found), default=time.time()), sum(each.st_size for each in found)


def _identity(path: Path) -> tuple[int, int] | None:
    """Inode and time of change, which together differ for every file that was ever at `path`; None if there is none.

    Anything but a regular file counts as none: reading a pipe would block.
    """
    try:
        found = path.stat()
    except OSError:
        return None
    return None if not stat.S_ISREG(found.st_mode) else (found.st_ino, found.st_ctime_ns)


def _read(path: Path, key: str) -> tuple[Tensors, dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        contents = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no mapping
    if _checksum(tensors, {name: value for name, value in contents.items() if name != "sha256"}) != contents["sha256"]:
        raise ValueError("its checksum does not match")
    if contents["key"] != key:
        raise ValueError(f"it is the entry of {contents['key']}")
    return tensors, {name: value for name, value in contents.items() if name not in _OWN}


def _checksum(tensors: Mapping[str, torch.Tensor], contents: Mapping[str, str]) -> str:
    """SHA-256 of the header, and of every tensor's name, type, shape and values."""
    digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():
            digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
