"""A sweep as one page that needs nothing but a browser."""

import base64
import gzip
import html
import json
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from analogue.reporting.details import job_details
from analogue.reporting.files import write_text
from analogue.reporting.grids import LayerGrid, protocol
from analogue.reporting.jobs import Failure
from analogue.reporting.panels import Panel, panel_groups

TITLE = "Feature spaces compared"


def save_report(grids: Sequence[LayerGrid], failures: Mapping[str, Failure], path: Path) -> None:
    """Write `report.html`: heatmaps of every grid, and every job behind its cell; self-contained."""
    from plotly.offline import get_plotlyjs

    numbers: dict[str, int] = {}
    for grid in grids:
        for job in grid.jobs.values():
            numbers[job.name] = len(numbers)
    data = {
        "grids": [_grid(grid, numbers) for grid in grids],
        "jobs": [job_details(job) for grid in grids for job in grid.jobs.values()],
        "failures": [[name, failure.error] for name, failure in failures.items()],
    }
    parts = {name: (files("analogue.reporting") / "page" / name).read_text() for name in ("report.css", "report.js")}
    write_text(_page(parts["report.css"], get_plotlyjs(), parts["report.js"], data), path)


def _page(style: str, plotly: str, script: str, data: dict[str, Any]) -> str:
    # Compressed, a thousand jobs stay within the megabytes that a page may have; browsers unpack it themselves.
    packed = base64.b64encode(gzip.compress(json.dumps(data, allow_nan=False).encode(), mtime=0)).decode()
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(TITLE)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n<h1>{html.escape(TITLE)}</h1>\n"
        f'<main id="sweep"></main>\n<aside id="job" aria-live="polite" hidden></aside>\n'
        f'<script id="data" type="application/octet-stream">{packed}</script>\n'
        f"<script>{plotly}</script>\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def _grid(grid: LayerGrid, numbers: Mapping[str, int]) -> dict[str, Any]:
    jobs = [[grid.jobs.get((row, column)) for column in grid.columns] for row in grid.rows]
    return {
        "title": grid.title,
        "protocol": protocol(grid.first),
        "rows": grid.rows,
        "columns": grid.columns,
        "axes": grid.axes,
        "jobs": [[numbers[job.name] if job else None for job in row] for row in jobs],
        "groups": {name: [_panel(panel) for panel in panels] for name, panels in panel_groups(grid).items()},
    }


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "title": panel.title,
        "values": [[_number(value) for value in row] for row in panel.values],
        "digits": panel.digits,
        "limits": panel.limits,
        "descending": panel.descending,
        "marked": None if panel.marked is None else panel.marked.tolist(),
    }


def _number(value: np.floating) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
