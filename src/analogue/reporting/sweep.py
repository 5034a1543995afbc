"""What a multirun shows: its progress job by job, and at the end tables, figures and a page."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig

from analogue.errors import UserError
from analogue.reporting.progress import SweepProgress, count_jobs
from analogue.reporting.resume import check_resume

if TYPE_CHECKING:
    from analogue.reporting.summary import Summary


class SweepSummary(Callback):
    """Hydra callback: a progress line after each job, the summary at the end; exit code 1 if something failed."""

    def __init__(self) -> None:
        self.progress: SweepProgress | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _check_resume(config)
        self.progress = SweepProgress(str(config.hydra.sweep.dir), count_jobs(config.hydra), time.time())

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if self.progress is not None:
            print(self.progress.line(time.time()), flush=True)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from rich.console import Console

        from analogue.reporting.summary import summarise

        directory = Path(str(config.hydra.sweep.dir))
        try:
            summary = summarise([directory], directory, Console())
        except OSError as error:
            problem = f"cannot take the summary ({error.strerror}: {error.filename}); its records are complete"
            _stop(UserError("sweep.dir", directory, f"{problem}, python -m analogue.reporting makes the summary"))
        if summary.grids and config.get("logger"):
            _log(config, summary, directory)
        if summary.failures:
            sys.exit(1)


def _check_resume(config: DictConfig) -> None:
    """Before the first job: each would find the same."""
    resume = config.get("sweep", {}).get("resume")
    if resume is not None:
        try:
            check_resume(resume)
        except UserError as error:
            _stop(error)


def _stop(error: UserError) -> NoReturn:
    """End the process: Hydra turns every exception of a callback into a warning and goes on."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(1)


def _log(config: DictConfig, summary: "Summary", directory: Path) -> None:
    from analogue.reporting.tracking import log_or_warn
    from analogue.reporting.tracking_sweep import log_sweep

    # The places that a job's configuration takes from its run do not exist for the sweep as a whole.
    places = {"save_dir": str(directory), "mode": RunMode.MULTIRUN, "sweep_dir": str(directory), "job_type": "sweep"}
    known = {name: value for name, value in places.items() if name in config.logger}
    log_or_warn(partial(instantiate, config.logger, **known), partial(log_sweep, summary=summary, directory=directory))
