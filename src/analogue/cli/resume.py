"""A sweep that continues where an earlier one stopped: finished jobs are copied, not computed again."""

import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from analogue.atomic import atomic_write
from analogue.cli.composition import plain
from analogue.cli.run import in_multirun
from analogue.errors import UserError
from analogue.results.jobs import clear, identity, read_jobs
from analogue.results.record import EXPLORER_FILE, NULLS_FILE, PAIRS_FILE, RESULT_FILE


def finished_before(cfg: DictConfig) -> bool:
    """Whether a multirun's job needs no work because its folder or the sweep that is resumed holds its record."""
    if not in_multirun():
        return False
    return take_over(plain(cfg), Path(cfg.output_dir), cfg.sweep.resume)


def take_over(config: Mapping[str, Any], directory: Path, resume: str | None) -> bool:
    """Whether a job is finished already: its own folder, or a folder under `resume`, holds its complete record.

    A record counts if it was made for the same resolved configuration. One from `resume` is copied, dates included;
    whatever else an earlier job left in the job's folder is removed.

    Raises:
        UserError: there is no folder `resume`.
    """
    wanted = identity(config)
    if resume is not None:
        check_resume(resume)
    if wanted in _finished_in(directory):
        return True
    clear(directory)
    found = _finished_under(str(Path(resume).resolve())).get(wanted) if resume is not None else None
    if found is None or wanted not in _finished_in(found):  # overwritten since
        return False
    directory.mkdir(parents=True, exist_ok=True)
    for name in (PAIRS_FILE, NULLS_FILE, EXPLORER_FILE, RESULT_FILE):
        if (found / name).is_file():
            with atomic_write(directory / name) as temporary:
                shutil.copy2(found / name, temporary)
    return True


def check_resume(resume: str) -> None:
    """Raise a `UserError` if there is no folder `resume`."""
    if not Path(resume).is_dir():
        raise UserError("sweep.resume", resume, "is not a folder; name the folder of an earlier multirun")


@cache
def _finished_under(root: str) -> dict[str, Path]:
    """Read once per process: an earlier sweep does not change while a later one takes over from it."""
    return _finished_in(Path(root))


def _finished_in(directory: Path) -> dict[str, Path]:
    """Folders of complete records, by what they compare."""
    jobs = read_jobs([directory])
    # The record is written last, so it vouches for the pairs, unless somebody has removed them.
    return {identity(job.result.config): job.directory for job in jobs if (job.directory / PAIRS_FILE).is_file()}
