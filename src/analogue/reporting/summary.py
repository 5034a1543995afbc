"""Any number of result records, from one sweep or several, as tables, figures and a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleRenderable

from analogue.reporting.controls import control_table, is_one_control, rendered
from analogue.reporting.heatmap import drawing
from analogue.reporting.report import save_report
from analogue.reporting.seed_study import is_seed_study, seed_study_table
from analogue.reporting.tables import sweep_table
from analogue.results.grids import LayerGrid, layer_grids
from analogue.results.jobs import Failure, read_failures, read_jobs
from analogue.results.results_table import results_table, save_results

UNBOUNDED = 1000  # columns
REPORT_FILE = "report.html"


@dataclass(frozen=True)
class Summary:
    """What a summary was made from, and the figures that it drew (PNG files)."""

    grids: list[LayerGrid]
    failures: dict[str, Failure]
    figures: list[Path]


def summarise(directories: Sequence[str | Path], output: Path, console: Console) -> Summary:
    """Print the tables of all records under `directories`; write results, figures and the page into `output`.

    Each layer grid has tables and heatmaps of its own; a seed study, or a control, which has one cell, is one row of a
    table.

    Raises:
        OSError: a file cannot be written.
    """
    found, failures = read_jobs(directories), read_failures(directories)
    grids = layer_grids(found)
    jobs = [job for grid in grids for job in grid.jobs.values()]  # no job twice, even where a resumed sweep copied it
    figures: list[Path] = []
    if jobs:
        output.mkdir(parents=True, exist_ok=True)
        layered = [grid for grid in grids if not (_is_seed_study(grid) or is_one_control(grid))]
        with drawing(layered, output) as figures:
            save_results(results_table(grids), output)
            save_report(grids, failures, output / REPORT_FILE)
        for grid in layered:
            _print(grid, console, headed=len(layered) > 1)
        if (controls := control_table(jobs)) is not None:
            _print_uncut(rendered(controls), console)
        seed_studies = [grid.first for grid in grids if _is_seed_study(grid)]
        for metric in dict.fromkeys(entry["metric"] for result in seed_studies for entry in result.similarity):
            _print_uncut(seed_study_table(seed_studies, metric), console)
    for name, failure in failures.items():
        console.print(f"job {name} failed: {failure.error}", style="red", markup=False, soft_wrap=True)
    n_passes = sum(job.result.n_model_passes for job in jobs)
    repeated = f" ({len(found) - len(jobs)} repeated)" if len(found) > len(jobs) else ""
    line = f"{_counted(len(jobs), 'comparison')}{repeated}, {len(failures)} failed, "
    line += f"{_counted(n_passes, 'model pass', 'model passes')} over the corpus"
    if jobs:
        line += f"; figures in {output}, page: {output / REPORT_FILE}"
    console.print(line, soft_wrap=True, markup=False)
    return Summary(grids, failures, figures)


def _is_seed_study(grid: LayerGrid) -> bool:
    return len(grid.jobs) == 1 and is_seed_study(grid.first) and not is_one_control(grid)


def _counted(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _print(grid: LayerGrid, console: Console, headed: bool) -> None:
    if headed:
        console.print(grid.title, style="bold", markup=False, soft_wrap=True)
    results = [job.result for job in grid.jobs.values()]
    for metric in grid.metrics:
        _print_uncut(sweep_table(results, metric), console)


def _print_uncut(table: ConsoleRenderable, console: Console) -> None:
    """Print a table at its full width, even if the terminal is narrower."""
    wanted = console.measure(table, options=console.options.update(max_width=UNBOUNDED)).maximum
    width = max(console.width, wanted)
    wide = Console(file=console.file, width=width, force_terminal=console.is_terminal, markup=False)
    wide.print(table, crop=False)
