"""The figures of a sweep, drawn beside other work."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from analogue.cores import usable_cores
from analogue.reporting.grids import LayerGrid
from analogue.reporting.heatmap import save_heatmaps
from analogue.reporting.panels import panel_groups

FEW = 3  # grids that are drawn sooner than processes start


@contextmanager
def drawing(grids: Sequence[LayerGrid], output: Path) -> Iterator[list[Path]]:
    """Draw the heatmaps of each grid while the body runs; afterwards the list that it was given holds the PNG files.

    Many grids are shared out over processes, one a core; few are drawn after the body.
    """
    paths: list[Path] = []
    if len(grids) <= FEW:
        yield paths
        drawn = [draw_grid(grid, number, len(grids), output) for number, grid in enumerate(grids)]
    else:
        with ProcessPoolExecutor(usable_cores(), multiprocessing.get_context("spawn")) as pool:
            futures = _submitted(pool, grids, output)
            yield paths
            drawn = [future.result() for future in futures]
    paths += [path for of_grid in drawn for path in of_grid]


def draw_grid(grid: LayerGrid, number: int, n_grids: int, output: Path) -> list[Path]:
    """Draw a grid's heatmaps, a file for each group of panels; returns the PNG files."""
    suffix = f"_{number}" if n_grids > 1 else ""
    groups = panel_groups(grid)
    for name, panels in groups.items():
        save_heatmaps(grid, panels, output / f"heatmap_{name}{suffix}")
    return [output / f"heatmap_{name}{suffix}.png" for name in groups]


def _submitted(pool: Executor, grids: Sequence[LayerGrid], output: Path) -> list[Future[list[Path]]]:
    return [pool.submit(draw_grid, grid, number, len(grids), output) for number, grid in enumerate(grids)]
