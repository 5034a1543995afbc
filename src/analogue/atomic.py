"""Files and folders that appear complete or not at all."""

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A process that writes a file never pauses for so long: a temporary file of this age was left by a killed process.
ABANDONED_SECONDS = 3600
FOLDER_ABANDONED_SECONDS = 86400  # a folder is filled file by file
_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{32}\.tmp")
_UMASK = os.umask(0)  # which can be read only by setting it: once, while one thread runs
os.umask(_UMASK)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` for the body to fill, as a file or a folder; it becomes `path` when that succeeds.

    The name is random, so that processes on several machines can share a file system. An existing folder cannot be
    replaced. What killed processes have left beside `path` is removed.
    """
    with temporary_beside(path) as temporary:
        yield temporary
        set_usual_mode(temporary)
        os.replace(temporary, path)


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` for a file or a folder, removed afterwards; after a kill, by another process."""
    remove_abandoned(path.parent)
    temporary = path.with_name(f".{path.name[:60]}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        remove(temporary)


def set_usual_mode(path: Path) -> None:
    """Make a file, or a folder with all that it holds, readable to everyone who may read new files under the umask.

    Libraries that write to a temporary file of their own make it unreadable to others.
    """
    for each in (path, *path.rglob("*")) if path.is_dir() else (path,):
        each.chmod((0o777 if each.is_dir() else 0o666) & ~_UMASK)


def remove_abandoned(directory: Path) -> None:
    """Remove temporary files and folders of processes that were killed while they wrote into a directory."""
    with suppress(OSError):
        for path in directory.iterdir():
            patience = FOLDER_ABANDONED_SECONDS if path.is_dir() else ABANDONED_SECONDS
            if _TEMPORARY.fullmatch(path.name) and time.time() - path.stat().st_mtime > patience:
                remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that it holds; nothing happens if it is not there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
