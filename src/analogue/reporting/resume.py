"""A sweep that goes on where another one stopped: finished jobs are taken over, not computed again."""

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from analogue.atomic import atomic_write
from analogue.errors import UserError
from analogue.reporting.files import NULLS_FILE, PAIRS_FILE, RESULT_FILE
from analogue.reporting.jobs import clear, identity, read_jobs


def take_over(config: Mapping[str, Any], directory: Path, resume: str | None) -> bool:
    """Whether a job is finished already: its own folder, or a folder under `resume`, holds its complete record.

    A record counts when it was made for the same resolved configuration. One from `resume` is copied, dates included;
    whatever else the job's folder holds from earlier is removed.

    Raises:
        UserError: there is no folder `resume`.
    """
    asked = identity(config)
    if resume is not None:
        check_resume(resume)
    if asked in _finished_in(directory):
        return True
    clear(directory)
    found = _finished_before(str(Path(resume).resolve())).get(asked) if resume is not None else None
    if found is None or asked not in _finished_in(found):  # overwritten since
        return False
    directory.mkdir(parents=True, exist_ok=True)
    for name in (PAIRS_FILE, NULLS_FILE, RESULT_FILE):
        if (found / name).is_file():
            with atomic_write(directory / name) as temporary:
                shutil.copy2(found / name, temporary)
    return True


def check_resume(resume: str) -> None:
    """Refuse what is no folder.

    Raises:
        UserError: there is no folder `resume`.
    """
    if not Path(resume).is_dir():
        raise UserError("sweep.resume", resume, "is not a folder; name the folder of an earlier multirun")


@cache
def _finished_before(root: str) -> dict[str, Path]:
    """Read once a process: an earlier sweep does not change while a later one takes over from it."""
    return _finished_in(Path(root))


def _finished_in(directory: Path) -> dict[str, Path]:
    """Folders of complete records, by what they compare."""
    jobs = read_jobs([directory])
    return {identity(job.result.config): job.directory for job in jobs if _complete(job.directory)}


def _complete(directory: Path) -> bool:
    """The record is written last, so it vouches for the pairs, unless somebody has removed them."""
    return (directory / RESULT_FILE).is_file() and (directory / PAIRS_FILE).is_file()
