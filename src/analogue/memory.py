"""How much memory a computation may use."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def usable_memory(root: Path = Path("/")) -> int:
    """Bytes that this process may take: what the machine has, or less where a container or a batch system limits it.

    Args:
        root: where the system's own files lie, `proc` and `sys`.
    """
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([there, *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    """The limits of the control groups that this process is in, and of those around them."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers == "":
                yield from _limits_around(root / "sys/fs/cgroup", group, "memory.max")
            elif "memory" in controllers.split(","):
                yield from _limits_around(root / "sys/fs/cgroup/memory", group, "memory.limit_in_bytes")


def _limits_around(top: Path, group: str, name: str) -> Iterator[int]:
    """Within a container, `group` may be a path that exists only on the host: the container's group is then the top."""
    own = top / group.strip("/")
    for folder in (own, *own.parents):
        if folder.is_relative_to(top):
            with suppress(OSError, ValueError):  # not there, or "max"
                yield int((folder / name).read_text())
