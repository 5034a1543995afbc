"""Layer-by-layer heatmaps of a sweep, for paper and screen."""

import multiprocessing
import re
import textwrap
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from analogue.atomic import atomic_write
from analogue.cores import usable_cores
from analogue.reporting.panels import DOUBTFUL, SIGNIFICANT, Panel, p_value_line, panel_groups
from analogue.results.grids import LayerGrid, protocol

LONGEST = 80  # characters of a setting in the name of a file
FEW = 3  # grids that are drawn sooner than processes start
FORMATS = ("png", "pdf")
LEFT, SIDES = 0.7, 1.45  # inches left of a panel's cells, and on both sides of them together
BOTTOM, ENDS = 0.5, 0.9
LINE = 0.135  # of the heading


@contextmanager
def drawing(grids: Sequence[LayerGrid], output: Path) -> Iterator[list[Path]]:
    """Draw the heatmaps of each grid while the body runs; afterwards the list given to the body holds the PNG files.

    Many grids are drawn by several processes, one per core; few are drawn after the body.
    """
    paths: list[Path] = []
    jobs = [(grid, output, suffix) for grid, suffix in zip(grids, file_suffixes(grids), strict=True)]
    if len(grids) <= FEW:
        yield paths
        drawn = [draw_grid(*job) for job in jobs]
    else:
        with ProcessPoolExecutor(usable_cores(), multiprocessing.get_context("spawn")) as pool:
            futures = [pool.submit(draw_grid, *job) for job in jobs]
            yield paths
            drawn = [future.result() for future in futures]
    paths += [path for of_grid in drawn for path in of_grid]


def draw_grid(grid: LayerGrid, output: Path, suffix: str) -> list[Path]:
    """Draw `heatmap_<group><suffix>` for each group of panels; returns the PNG files."""
    stems = {name: output / file_name(f"heatmap_{name}{suffix}") for name in panel_groups(grid)}
    for name, panels in panel_groups(grid).items():
        line = p_value_line(grid, name) if name in grid.metrics else None
        save_heatmaps(grid, panels, stems[name], line)
    return [stem.with_name(f"{stem.name}.png") for stem in stems.values()]


def file_name(name: str) -> str:
    """A name without path separators and the like: the author of a metric may have given it any name."""
    return re.sub(r"[^\w.+=-]", "_", name)[:120]


def file_suffixes(grids: Sequence[LayerGrid]) -> list[str]:
    """What tells the files of several grids apart: how each differs (`_filters=none`), or its number."""
    named = [f"_{file_name(grid.setting)}" if grid.setting else "" for grid in grids]
    if len(set(named)) == len(grids) and max(map(len, named), default=0) <= LONGEST:
        return named
    return [f"_{number}" for number in range(len(grids))]


def save_heatmaps(grid: LayerGrid, panels: Sequence[Panel], stem: Path, line: str | None = None) -> None:
    """Draw panels of one grid, and a line about them, into `<stem>.png` and `<stem>.pdf`.

    Each cell shows its number; scores with p >= 0.05 have a question mark, cells without a number are grey.
    """
    from matplotlib.figure import Figure

    cell_width, cell_height = 0.52 * len(grid.columns), 0.42 * len(grid.rows)
    n_columns = 1 if cell_width > 2 * cell_height + 1 else min(2, len(panels))
    n_rows = -(-len(panels) // n_columns)
    # Places are worked out in inches: matplotlib's own layouts draw everything several times to find them.
    width, height = max(3.6, cell_width) + SIDES, max(1.0, cell_height) + ENDS
    heading = _heading(grid, width * n_columns, line)
    figure = Figure(figsize=(width * n_columns, height * n_rows + LINE * len(heading.splitlines())))
    figure.text(0.1 / (width * n_columns), 1, heading, fontsize=8, va="top")
    for number, panel in enumerate(panels):
        row, column = divmod(number, n_columns)
        corner = width * column + LEFT, height * (n_rows - 1 - row) + BOTTOM
        _draw(figure, grid, panel, (*corner, width - SIDES, height - ENDS))
    for kind in FORMATS:
        metadata = {"CreationDate": None} if kind == "pdf" else {}  # without a date, equal sweeps give equal files
        with atomic_write(stem.with_name(f"{stem.name}.{kind}")) as temporary:
            figure.savefig(temporary, format=kind, dpi=150, metadata=metadata)


def _heading(grid: LayerGrid, inches: float, line: str | None) -> str:
    lines = (grid.title, protocol(grid.first), *([line] if line else []))
    return "\n" + "\n".join(textwrap.fill(line, int(inches * 15)) for line in lines)


def _draw(figure: Any, grid: LayerGrid, panel: Panel, place: tuple[float, float, float, float]) -> None:
    x, y, width, height = place
    size = figure.get_size_inches()
    axes = figure.add_axes((x / size[0], y / size[1], width / size[0], height / size[1]))
    scale = figure.add_axes(((x + width + 0.12) / size[0], y / size[1], 0.12 / size[0], height / size[1]))
    axes.set_facecolor("0.85")
    low, high = panel.limits
    colours = "viridis_r" if panel.descending else "viridis"
    image = axes.imshow(panel.values, cmap=colours, vmin=low, vmax=high, aspect="auto")
    axes.set_xticks(range(len(grid.columns)), [str(layer) for layer in grid.columns])
    axes.set_yticks(range(len(grid.rows)), [str(layer) for layer in grid.rows])
    axes.tick_params(labelsize=8)
    axes.set_ylabel(grid.axes[0], fontsize=8)
    axes.set_xlabel(grid.axes[1], fontsize=8)
    legend = f" ({DOUBTFUL} p ≥ {SIGNIFICANT})" if panel.marked is not None and panel.marked.any() else ""
    axes.set_title(f"{panel.title}{legend}", loc="left", fontsize=9)
    _write_numbers(axes, panel, image)
    figure.colorbar(image, cax=scale).ax.tick_params(labelsize=7)


def _write_numbers(axes: Any, panel: Panel, image: Any) -> None:
    """The number of each cell, as outlines: texts of their own would take most of the time of a large sweep."""
    from matplotlib.collections import PathCollection
    from matplotlib.transforms import Affine2D

    rows, columns = np.nonzero(np.isfinite(panel.values))
    if len(rows) == 0:
        return
    marked = np.zeros(panel.values.shape, bool) if panel.marked is None else panel.marked
    texts = [
        f"{value:z.{panel.digits}f}{DOUBTFUL if mark else ''}"
        for value, mark in zip(panel.values[rows, columns], marked[rows, columns], strict=True)
    ]
    numbers = PathCollection(
        [_outline(text) for text in texts],
        offsets=np.column_stack([columns, rows]),
        offset_transform=axes.transData,
        facecolors=[_readable(image, value) for value in panel.values[rows, columns]],
        linewidths=0,
    )
    numbers.set_transform(Affine2D().scale(1 / 72) + axes.figure.dpi_scale_trans)
    axes.add_collection(numbers, autolim=False)


@cache
def _outline(text: str) -> Any:
    """The outline of a text about its middle, in points."""
    from matplotlib.textpath import TextPath
    from matplotlib.transforms import Affine2D

    path = TextPath((0, 0), text, size=7)
    (left, bottom), (right, top) = path.get_extents().get_points()
    return path.transformed(Affine2D().translate(-(left + right) / 2, -(bottom + top) / 2))


def _readable(image: Any, value: float) -> str:
    """Black or white, whichever stands out from the cell's colour."""
    red, green, blue, _ = image.cmap(image.norm(value))
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else "black"
