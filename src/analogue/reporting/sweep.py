"""What a multirun shows: its progress job by job, and at the end tables, figures and a page."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig

from analogue.reporting.progress import SweepProgress, count_jobs

if TYPE_CHECKING:
    from analogue.reporting.summary import Summary


class SweepSummary(Callback):
    """Hydra callback: a progress line after each job, the summary at the end; exit code 1 if a job failed."""

    def __init__(self) -> None:
        self.progress: SweepProgress | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self.progress = SweepProgress(str(config.hydra.sweep.dir), count_jobs(config.hydra), time.time())

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if self.progress is not None:
            print(self.progress.line(time.time()), flush=True)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from rich.console import Console

        from analogue.reporting.summary import summarise

        directory = Path(str(config.hydra.sweep.dir))
        summary = summarise([directory], directory, Console())
        if summary.grids and config.get("logger"):
            _log(config, summary, directory)
        if summary.failures:
            sys.exit(1)


def _log(config: DictConfig, summary: "Summary", directory: Path) -> None:
    from analogue.reporting.tracking import log_or_warn
    from analogue.reporting.tracking_sweep import log_sweep

    # The places that a job's configuration takes from its run do not exist for the sweep as a whole.
    places = {"save_dir": str(directory), "mode": RunMode.MULTIRUN, "sweep_dir": str(directory), "job_type": "sweep"}
    known = {name: value for name, value in places.items() if name in config.logger}
    log_or_warn(partial(instantiate, config.logger, **known), partial(log_sweep, summary=summary, directory=directory))
