"""How long the report of a large sweep takes: python -m benchmarks.reporting MULTIRUN [--jobs 1000]

Copies the records of a real sweep until there are as many jobs as asked for, on ten grids, and reports on them.
"""

import argparse
import dataclasses
import io
import shutil
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from analogue.reporting.report import save_report
from analogue.reporting.summary import REPORT_FILE, summarise
from analogue.results import ComparisonResult, write_result
from analogue.results.grids import layer_grids
from analogue.results.jobs import read_jobs
from analogue.results.record import NULLS_FILE, PAIRS_FILE
from analogue.results.results_table import results_table, save_results

N_GRIDS = 10
SECONDS, MEGABYTES = 30, 10


def main() -> None:
    """Print seconds and megabytes beside what the project allows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, help="a multirun with at least one finished job")
    parser.add_argument("--jobs", type=int, default=1000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sweep = Path(folder)
        copy_jobs(arguments.directory, sweep, arguments.jobs)
        started = time.perf_counter()
        grids = layer_grids(read_jobs([sweep]))
        save_results(results_table(grids), sweep)
        save_report(grids, {}, sweep / REPORT_FILE)
        seconds = time.perf_counter() - started
        megabytes = (sweep / REPORT_FILE).stat().st_size / 1e6
        started = time.perf_counter()
        summarise([sweep], sweep, Console(file=io.StringIO()))
        with_figures = time.perf_counter() - started
    table = Table(title=f"report of {arguments.jobs} jobs", title_justify="left")
    for heading in ("", "measured", "allowed", "ratio"):
        table.add_column(heading, justify="right")
    table.add_row("results and page, s", f"{seconds:.1f}", str(SECONDS), f"{seconds / SECONDS:.2f}")
    table.add_row("with figures, s", f"{with_figures:.1f}", str(SECONDS), f"{with_figures / SECONDS:.2f}")
    table.add_row("page, MB", f"{megabytes:.1f}", str(MEGABYTES), f"{megabytes / MEGABYTES:.2f}")
    Console().print(table)


def copy_jobs(source: Path, target: Path, n_jobs: int) -> None:
    """Job after job of `source`, each under a pair of layers and a seed of its own."""
    jobs = read_jobs([source])
    n_columns = max(1, round((n_jobs / N_GRIDS) ** 0.5))
    for number in range(n_jobs):
        job, cell = jobs[number % len(jobs)], number // N_GRIDS
        result = relabelled(job.result, cell // n_columns, cell % n_columns, number % N_GRIDS)
        directory = target / str(number)
        write_result(result, pq.read_table(job.directory / PAIRS_FILE), directory)
        if (job.directory / NULLS_FILE).is_file():
            shutil.copy(job.directory / NULLS_FILE, directory)


def relabelled(result: ComparisonResult, layer_a: int, layer_b: int, seed: int) -> ComparisonResult:
    """The record under other layers and another seed."""
    sides = {
        side: dataclasses.replace(getattr(result, side), layer=layer)
        for side, layer in (("side_a", layer_a), ("side_b", layer_b))
    }
    config = result.config | {"layer_a": layer_a, "layer_b": layer_b, "seed": seed}
    return dataclasses.replace(result, config=config, **sides)


if __name__ == "__main__":
    main()
