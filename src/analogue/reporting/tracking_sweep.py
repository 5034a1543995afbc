"""A sweep's own run: the table of its results, its heatmaps to hover over and as pictures, and its page."""

from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from analogue.reporting.grids import LayerGrid
from analogue.reporting.panels import Panel, panel_groups
from analogue.reporting.results_table import results_table
from analogue.reporting.summary import REPORT_FILE, RESULT_FILES, Summary


def log_sweep(logger: Logger, summary: Summary, directory: Path) -> None:
    """Send the summary of a sweep to W&B; other loggers have no place for it."""
    if not isinstance(logger, WandbLogger):
        return
    import wandb

    table = results_table(summary.grids)
    logger.log_table("results", columns=table.column_names, data=[[*row.values()] for row in table.to_pylist()])
    logger.log_image("heatmaps", [str(path) for path in summary.figures], caption=[f.stem for f in summary.figures])
    run = logger.experiment
    for number, grid in enumerate(summary.grids):
        suffix = f" {grid.setting}" if grid.setting else ""
        figures = {panel.title: _figure(grid, panel) for panels in panel_groups(grid).values() for panel in panels}
        run.log({f"grid {number}{suffix}/{title}": wandb.Plotly(figure) for title, figure in figures.items()})
    counts = {"jobs": sum(len(grid.jobs) for grid in summary.grids), "failed": len(summary.failures)}
    run.summary.update(counts)
    report = wandb.Artifact(f"report-{run.id}", type="report", metadata=counts)
    for name in (REPORT_FILE, *RESULT_FILES):
        report.add_file(str(directory / name))
    run.log_artifact(report)


def _figure(grid: LayerGrid, panel: Panel) -> Any:
    from plotly import graph_objects

    low, high = panel.limits
    heatmap = graph_objects.Heatmap(
        z=[[None if value != value else float(value) for value in row] for row in panel.values],
        x=[str(layer) for layer in grid.columns],
        y=[str(layer) for layer in grid.rows],
        colorscale="Viridis",
        reversescale=panel.descending,
        zmin=low,
        zmax=high,
    )
    vertical, horizontal = grid.axes
    layout = graph_objects.Layout(
        title=panel.title,
        xaxis={"title": horizontal, "type": "category"},
        yaxis={"title": vertical, "type": "category", "autorange": "reversed"},
    )
    return graph_objects.Figure(heatmap, layout)
