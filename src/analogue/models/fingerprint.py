"""What identifies the contents of a model: a commit on the hub, or the bytes of a local directory."""

import hashlib
from functools import lru_cache
from pathlib import Path


def directory_fingerprint(directory: str | Path) -> str:
    """SHA-256 over the names and contents of a directory's files.

    The contents are read once a process for each (path, size, modification time).
    """
    digest = hashlib.sha256()
    for file in sorted(path for path in Path(directory).rglob("*") if path.is_file()):
        stat = file.stat()
        contents = _file_digest(str(file), stat.st_size, stat.st_mtime_ns)
        digest.update(f"{file.relative_to(directory).as_posix()}\0{contents}\0".encode())
    return digest.hexdigest()


def cached_commit(repository: str, revision: str | None) -> str:
    """The commit of a model that has been downloaded: the name of the folder that its configuration lies in."""
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(repository, "config.json", revision=revision or "main")
    if not isinstance(file, str):
        raise OSError("its config.json is not in the hub's cache")
    return Path(file).parent.name


@lru_cache(maxsize=4096)
def _file_digest(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
