"""What a multirun ends with: layer-by-layer tables, and a heatmap for each metric."""

import json
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console

from analogue.reporting.heatmap import save_heatmap
from analogue.reporting.record import ComparisonResult, read_results
from analogue.reporting.tables import sweep_table


class SweepSummary(Callback):
    """Hydra callback: prints and draws the records of the multirun that has just ended."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        summarise(Path(str(config.hydra.sweep.dir)), Console())


def summarise(directory: Path, console: Console) -> None:
    """Print the tables of all records under `directory` and save `heatmap_<metric>.png` there.

    Where a cell of the layer grid holds several jobs (a sweep over something else too), each such group of jobs
    gets tables and heatmaps of its own.
    """
    results = read_results(directory)
    if not results:
        return
    groups = _grids_of_layers(results)
    for number, group in enumerate(groups):
        suffix = f"_{number}" if len(groups) > 1 else ""
        for metric in dict.fromkeys(entry["metric"] for result in group for entry in result.similarity):
            table = sweep_table(group, metric)
            needed = console.measure(table, options=console.options.update(width=10_000)).maximum
            console.width = max(console.width, needed)  # rather wrapped by the terminal than cut
            console.print(table)
            save_heatmap(group, metric, directory / f"heatmap_{metric}{suffix}.png")
    n_passes = sum(result.n_model_passes for result in results)
    console.print(f"{len(results)} comparisons, {n_passes} model passes over the corpus; figures in {directory}")


def _grids_of_layers(results: list[ComparisonResult]) -> list[list[ComparisonResult]]:
    """Records that differ in nothing but their layers belong to one grid."""
    grids: dict[str, list[ComparisonResult]] = {}
    for result in results:
        own = {"layer_a", "layer_b", "output_dir", "logger"}
        rest = {name: value for name, value in result.config.items() if name not in own}
        grids.setdefault(json.dumps(rest, sort_keys=True), []).append(result)
    return list(grids.values())
