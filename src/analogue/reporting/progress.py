"""How far a multirun has come, told from its folder, so that it does not matter which process ran which job."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser

from analogue.reporting.files import FAILURE_FILE, RESULT_FILE


@dataclass(frozen=True)
class SweepProgress:
    """Progress of a multirun.

    Attributes:
        n_jobs: None where the sweeper decides as it goes.
        started: seconds since the epoch; a record from before is one taken over.
    """

    directory: str
    n_jobs: int | None
    started: float

    def line(self, now: float) -> str:
        """Jobs done, failed, cached, and the time left, in one line."""
        finished = list(self._dates(RESULT_FILE))
        cached = sum(date < self.started for date in finished)
        computed, failed = len(finished) - cached, sum(date >= self.started for date in self._dates(FAILURE_FILE))
        ended = computed + failed + cached
        total = "?" if self.n_jobs is None else str(self.n_jobs)
        line = f"sweep: {ended} of {total} jobs ended: {computed} done, {failed} failed, {cached} cached"
        worked = computed + failed
        if self.n_jobs is None or not worked or ended >= self.n_jobs:
            return line
        left = timedelta(seconds=math.ceil((now - self.started) / worked * (self.n_jobs - ended)))
        return f"{line}, about {left} left"

    def _dates(self, name: str) -> Iterator[float]:
        return (file.stat().st_mtime for file in Path(self.directory).glob(f"*/{name}"))


def count_jobs(hydra: Any) -> int | None:
    """Jobs in the grid that a multirun's overrides span; None where one of them is no list of choices."""
    spanned = choices(hydra)
    return None if spanned is None else math.prod(len(values) for values in spanned.values())


def choices(hydra: Any) -> dict[str, list[str]] | None:
    """What each key of a multirun's grid may be, as its overrides spell it; None where one is no list of choices."""
    given = [*(f"{key}={value}" for key, value in (hydra.sweeper.get("params") or {}).items()), *hydra.overrides.task]
    overrides = {override.key_or_group: override for override in OverridesParser.create().parse_overrides(given)}
    sweeps = [override for override in overrides.values() if override.is_sweep_override()]
    if not all(override.is_discrete_sweep() for override in sweeps):
        return None
    return {override.key_or_group: [*override.sweep_string_iterator()] for override in sweeps}
