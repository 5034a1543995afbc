"""Makes sure that a failure which several ranks of a job share is reported once, by one of them."""

import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

JOB = "ANALOGUE_JOB"  # names the job in the environment that a rank gives to those that it starts
PATIENCE_S = 2.0  # for the rank that has failed to say why; Lightning kills the others after 5
ABANDONED_S = 3600  # a mark of this age is of a job that has ended
_OF_A_LOST_RANK = ("Connection closed by peer", "Connection reset by peer", "connection was aborted", "Broken pipe")


@contextmanager
def shared_voice() -> Iterator[None]:
    """Let the ranks of the job that runs within know each other."""
    before = os.environ.get(JOB)
    # Ranks that others have started, such as torchrun, share their parent and its port.
    started_by_others = f"{os.getppid()}-{os.environ.get('MASTER_PORT')}" if "LOCAL_RANK" in os.environ else None
    os.environ[JOB] = before or started_by_others or uuid.uuid4().hex
    try:
        yield
    finally:
        if before is None:
            del os.environ[JOB]


def may_speak() -> bool:
    """Whether no other rank of this job has said anything yet; from now on, this one has."""
    if "LOCAL_RANK" not in os.environ:  # alone
        return True
    try:
        mark = _mark()
        with suppress(OSError):
            for old in mark.parent.glob(f"{mark.name.rpartition('_')[0]}_*"):
                if time.time() - old.stat().st_mtime > ABANDONED_S:
                    old.unlink()
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    except OSError:  # no mark can be left: two reports are better than none
        return True
    return True


def is_lost_rank(error: BaseException) -> bool:
    """Whether an error only follows from the failure of another rank; waits for that rank to say why."""
    is_of_ranks = "LOCAL_RANK" in os.environ and isinstance(error, RuntimeError)
    if not is_of_ranks or not any(each in str(error) for each in _OF_A_LOST_RANK):
        return False
    until = time.monotonic() + PATIENCE_S
    while not _mark().exists() and time.monotonic() < until:
        time.sleep(0.05)
    return True


def _mark() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else 0
    return Path(tempfile.gettempdir()) / f"analogue_{user}_{os.environ.get(JOB)}"
