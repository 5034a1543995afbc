"""Layer-by-layer heatmaps of a sweep."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analogue.reporting.record import ComparisonResult
from analogue.reporting.tables import SIGNIFICANT


def save_heatmap(results: Sequence[ComparisonResult], metric: str, path: Path) -> None:
    """Draw the paired scores of one metric, rows layer of A, columns layer of B.

    Each cell is annotated with its score; scores with p >= 0.05 are marked with an asterisk, jobs without a score
    are grey.
    """
    from matplotlib.figure import Figure

    rows = sorted({result.side_a.layer for result in results})
    columns = sorted({result.side_b.layer for result in results})
    scores, p_values = _grids(results, metric, rows, columns)
    figure = Figure(figsize=(1.8 + 0.62 * len(columns), 1.6 + 0.55 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("0.85")
    image = axes.imshow(scores, cmap="viridis", vmin=min(0.0, _lowest(scores)), vmax=1.0, aspect="auto")
    axes.set_xticks(range(len(columns)), [str(layer) for layer in columns])
    axes.set_yticks(range(len(rows)), [str(layer) for layer in rows])
    axes.set_xlabel(f"layer_b ({results[0].side_b.model})")
    axes.set_ylabel(f"layer_a ({results[0].side_a.model})")
    axes.set_title(f"{metric}, paired score (* p ≥ {SIGNIFICANT})", loc="left")
    for (row, column), score in np.ndenumerate(scores):
        if np.isfinite(score):
            mark = "*" if p_values[row, column] >= SIGNIFICANT else ""
            red, green, blue, _ = image.cmap(image.norm(score))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            colour = "white" if dark else "black"
            axes.text(column, row, f"{score:.2f}{mark}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, label=f"{metric} score")
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png", dpi=150)
    os.replace(temporary, path)


def _grids(
    results: Sequence[ComparisonResult], metric: str, rows: list[int], columns: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    scores, p_values = np.full((2, len(rows), len(columns)), np.nan)
    for result in results:
        for entry in result.similarity:
            if entry["metric"] == metric and entry["score"] is not None:
                cell = rows.index(result.side_a.layer), columns.index(result.side_b.layer)
                scores[cell], p_values[cell] = entry["score"], entry["p_value"]
    return scores, p_values


def _lowest(scores: np.ndarray) -> float:
    finite = scores[np.isfinite(scores)]
    return float(finite.min()) if finite.size else 0.0
