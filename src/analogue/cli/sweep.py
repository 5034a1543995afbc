"""Hydra callbacks of a multirun: the layers of its grid, a line of progress per job, and the summary at the end."""

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from analogue.cli.resume import check_resume
from analogue.errors import UserError, first_line
from analogue.results.jobs import FAILURE_FILE
from analogue.results.record import RESULT_FILE

if TYPE_CHECKING:
    from analogue.reporting.summary import Summary


class GridLayers(Callback):
    """Gives every job of a multirun the layers of the grid (`sweep.layers_a`, `sweep.layers_b`)."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        spanned = choices(config.hydra) or {}
        for side in ("a", "b"):
            if f"layer_{side}" in spanned and f"sweep.layers_{side}" not in spanned:
                layers = ",".join(spanned[f"layer_{side}"])
                config.hydra.overrides.task.append(f"sweep.layers_{side}=[{layers}]")


class SweepSummary(Callback):
    """Prints a line of progress after each job and the summary at the end; exit code 1 if something failed."""

    def __init__(self) -> None:
        self.progress: SweepProgress | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        resume = config.get("sweep", {}).get("resume")
        if resume is not None:
            try:
                check_resume(resume)  # before the first job: every job would fail in the same way
            except UserError as error:
                _stop(error)
        self.progress = SweepProgress(str(config.hydra.sweep.dir), count_jobs(config.hydra), time.time())

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if self.progress is not None:
            print(self.progress.line(time.time()), flush=True)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        directory = Path(str(config.hydra.sweep.dir))
        try:
            summary = _summarise(config, directory)
        except Exception as error:  # whatever it is, Hydra would go on and end with code 0
            problem = f"cannot take the summary ({_reason(error)}); its records are complete"
            _stop(UserError("sweep.dir", directory, f"{problem}, analogue report makes the summary"))
        if summary.failures:
            sys.exit(1)


@dataclass(frozen=True)
class SweepProgress:
    """Progress of a multirun, read from its folder, so that it does not matter which process ran which job.

    Attributes:
        n_jobs: None if the sweeper decides as it goes.
        started: seconds since the epoch; an older record was taken over from an earlier sweep.
    """

    directory: str
    n_jobs: int | None
    started: float

    def line(self, now: float) -> str:
        """Jobs done, failed, taken over, and the time left, in one line."""
        finished = list(self._dates(RESULT_FILE))
        taken_over = sum(date < self.started for date in finished)
        computed, failed = len(finished) - taken_over, sum(date >= self.started for date in self._dates(FAILURE_FILE))
        ended = computed + failed + taken_over
        total = "?" if self.n_jobs is None else str(self.n_jobs)
        line = f"sweep: {ended} of {total} jobs ended: {computed} done, {failed} failed, {taken_over} taken over"
        worked = computed + failed
        if self.n_jobs is None or not worked or ended >= self.n_jobs:
            return line
        left = timedelta(seconds=math.ceil((now - self.started) / worked * (self.n_jobs - ended)))
        return f"{line}, about {left} left"

    def _dates(self, name: str) -> Iterator[float]:
        return (file.stat().st_mtime for file in Path(self.directory).glob(f"*/{name}"))


def count_jobs(hydra: Any) -> int | None:
    """Number of jobs in the grid that a multirun's overrides span; None if an override is not a list of choices."""
    spanned = choices(hydra)
    return None if spanned is None else math.prod(len(values) for values in spanned.values())


def choices(hydra: Any) -> dict[str, list[str]] | None:
    """Values of each key of a multirun's grid, as its overrides spell them; None if one is not a list of choices."""
    given = [*(f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()), *hydra.overrides.task]
    overrides = {override.key_or_group: override for override in OverridesParser.create().parse_overrides(given)}
    sweeps = [override for override in overrides.values() if override.is_sweep_override()]
    if not all(override.is_discrete_sweep() for override in sweeps):
        return None
    return {override.key_or_group: [*override.sweep_string_iterator()] for override in sweeps}


def _stop(error: UserError) -> NoReturn:
    """End the process: Hydra turns every exception of a callback into a warning and goes on."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}"
    return f"{type(error).__name__}: {first_line(error)}"


def _summarise(config: DictConfig, directory: Path) -> "Summary":
    from analogue.reporting.console import plain_console
    from analogue.reporting.summary import summarise

    summary = summarise([directory], directory, plain_console())
    if summary.grids and config.get("logger"):
        from analogue.cli.logger import configured_logger
        from analogue.reporting.tracking import log_or_warn, log_sweep

        # The places that a job's configuration takes from its run do not exist for the sweep as a whole.
        places = {"save_dir": str(directory), "mode": RunMode.MULTIRUN, "sweep_dir": str(directory)}
        known = {name: value for name, value in (places | {"job_type": "sweep"}).items() if name in config.logger}
        log_or_warn(
            partial(configured_logger, config.logger, **known), partial(log_sweep, summary=summary, directory=directory)
        )
    return summary
