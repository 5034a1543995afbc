"""A sweep that continues where an earlier one stopped: finished jobs are copied, not computed again."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from analogue.atomic import atomic_write
from analogue.cli.composition import plain
from analogue.cli.run import in_multirun
from analogue.errors import UserError
from analogue.results import ComparisonResult
from analogue.results.jobs import Job, clear, identity, read_jobs
from analogue.results.record import EXPLORER_FILE, NULLS_FILE, PAIRS_FILE, RESULT_FILE, TRANSFER_FILE

Changed = Callable[[ComparisonResult], Sequence[str]]
"""From a record to the keys whose files have changed since."""


def finished_before(cfg: DictConfig, changed: Changed) -> bool:
    """Whether a multirun's job needs no work because its folder or the sweep that is resumed holds its record."""
    if not in_multirun():
        return False
    return take_over(plain(cfg), Path(cfg.output_dir), cfg.sweep.resume, changed)


def take_over(
    config: Mapping[str, Any], directory: Path, resume: str | None, changed: Changed = lambda record: ()
) -> bool:
    """Whether a job is finished already: its own folder, or a folder under `resume`, holds its complete record.

    A record counts if it was made for the same resolved configuration, of the same files. One from `resume` is copied,
    dates included; whatever else an earlier job left in the job's folder is removed.

    Raises:
        UserError: there is no folder `resume`.
    """
    wanted = identity(config)
    if resume is not None:
        check_resume(resume)
    own = _finished_in(directory).get(wanted)
    if own is not None and _is_current(own, changed):
        return True
    clear(directory)
    job = _finished_under(str(Path(resume).resolve())).get(wanted) if resume is not None else None
    if job is None or wanted not in _finished_in(job.directory):  # overwritten since
        return False
    if not _is_current(job, changed):
        return False
    found = job.directory
    directory.mkdir(parents=True, exist_ok=True)
    for name in (PAIRS_FILE, NULLS_FILE, TRANSFER_FILE, EXPLORER_FILE, RESULT_FILE):
        if (found / name).is_file():
            with atomic_write(directory / name) as temporary:
                shutil.copy2(found / name, temporary)
    return True


def check_resume(resume: str) -> None:
    """Raise a `UserError` if there is no folder `resume`."""
    if not Path(resume).is_dir():
        raise UserError("sweep.resume", resume, "is not a folder; name the folder of an earlier multirun")


@cache
def _finished_under(root: str) -> dict[str, Job]:
    """Read once per process: an earlier sweep does not change while a later one takes over from it."""
    return _finished_in(Path(root))


def _is_current(job: Job, changed: Changed) -> bool:
    """Whether the files that a record names are unchanged; warns where they have changed or cannot be read."""
    try:
        keys = changed(job.result)
    except UserError as error:
        print(f"warning: {job.directory} is taken over, but may be out of date: {error}", file=sys.stderr)
        return True
    if keys:
        print(f"warning: {job.directory} is computed again: {', '.join(keys)} changed since", file=sys.stderr)
    return not keys


def _finished_in(directory: Path) -> dict[str, Job]:
    """Complete records, by what they compare."""
    jobs = read_jobs([directory])
    # The record is written last, so it vouches for the pairs, unless somebody has removed them.
    return {identity(job.result.config): job for job in jobs if (job.directory / PAIRS_FILE).is_file()}
