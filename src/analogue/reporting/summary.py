"""Any number of result records, from one sweep or several, as tables, figures and a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleRenderable

from analogue.reporting.figures import drawing
from analogue.reporting.grids import LayerGrid, layer_grids
from analogue.reporting.jobs import Failure, read_failures, read_jobs
from analogue.reporting.report import save_report
from analogue.reporting.results_table import results_table, save_results
from analogue.reporting.seed_study import is_seed_study, seed_study_table
from analogue.reporting.tables import sweep_table

UNBOUNDED = 1000  # columns
REPORT_FILE = "report.html"
RESULT_FILES = ("results.parquet", "results.csv")


@dataclass(frozen=True)
class Summary:
    """What a summary was made from, and the figures that it drew."""

    grids: list[LayerGrid]
    failures: dict[str, Failure]
    figures: list[Path]


def summarise(directories: Sequence[str | Path], output: Path, console: Console) -> Summary:
    """Print the tables of all records under `directories`; write results, figures and the page into `output`.

    Where a cell of the layer grid holds several jobs (a sweep over something else too), each such group of jobs gets
    tables and heatmaps of its own; a seed study, which has but one cell, a row in a table.
    """
    jobs, failures = read_jobs(directories), read_failures(directories)
    grids = layer_grids(jobs)
    figures: list[Path] = []
    if jobs:
        output.mkdir(parents=True, exist_ok=True)
        layered = [grid for grid in grids if not _is_seed_study(grid)]
        with drawing(layered, output) as figures:
            save_results(results_table(grids), output)
            save_report(grids, failures, output / REPORT_FILE)
        for grid in layered:
            _print(grid, console, headed=len(layered) > 1)
        twins = [grid.first for grid in grids if _is_seed_study(grid)]
        for metric in dict.fromkeys(entry["metric"] for result in twins for entry in result.similarity):
            _print_whole(seed_study_table(twins, metric), console)
    for name, failure in failures.items():
        console.print(f"job {name} failed: {failure.error}", style="red", markup=False, soft_wrap=True)
    n_passes = sum(job.result.n_model_passes for job in jobs)
    told = f"{_counted(len(jobs), 'comparison')}, {len(failures)} failed, "
    told += f"{_counted(n_passes, 'model pass', 'model passes')} over the corpus"
    if jobs:
        told += f"; figures in {output}, page: {output / REPORT_FILE}"
    console.print(told, soft_wrap=True, markup=False)
    return Summary(grids, failures, figures)


def _is_seed_study(grid: LayerGrid) -> bool:
    return len(grid.jobs) == 1 and is_seed_study(grid.first)


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _print(grid: LayerGrid, console: Console, headed: bool) -> None:
    if headed:
        console.print(grid.title, style="bold", markup=False, soft_wrap=True)
    results = [job.result for job in grid.jobs.values()]
    for metric in grid.metrics:
        _print_whole(sweep_table(results, metric), console)


def _print_whole(table: ConsoleRenderable, console: Console) -> None:
    """Without cutting it where the terminal ends."""
    wanted = console.measure(table, options=console.options.update(max_width=UNBOUNDED)).maximum
    wide = Console(file=console.file, width=max(console.width, wanted), force_terminal=console.is_terminal)
    wide.print(table, crop=False)
