"""A sweep as one table: one row per job, score and semantic subspace."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv

from analogue.atomic import atomic_write
from analogue.results.grids import LayerGrid, pair, scores_of
from analogue.results.record import label, write_table

TABLE_FILES = ("results.parquet", "results.csv")
_SCORES = ("metric", "score", "n_pairs", "null", "n_null", "null_mean", "null_sd", "z", "p_value")
_TEXT = {"job", "pair", "setting", "control", "rule", "direction", "metric", "null", "concept"}
_TEXT |= {"model_a", "sae_a", "model_b", "sae_b"}
_COUNTS = {"layer_a", "layer_b", "n_tokens", "pairs", "pairs_kept", "n_pairs", "n_null"}


def results_table(grids: Sequence[LayerGrid]) -> pa.Table:
    """One row per job and score, of the whole space (`concept` is null) or of a semantic subspace.

    Two runs of one job have the same rows. `p_value_bh` is corrected over the jobs of a grid, one score at a time;
    `setting` says how a grid differs from the others.
    """
    rows = [row for grid in grids for row in _rows(grid)]
    names = list(rows[0]) if rows else []
    return pa.Table.from_pylist(rows, pa.schema([(name, _type(name)) for name in names]))


def save_results(table: pa.Table, directory: Path) -> None:
    """Write `TABLE_FILES`."""
    parquet, csv = (directory / name for name in TABLE_FILES)
    write_table(table, parquet)
    with atomic_write(csv) as temporary:
        pyarrow.csv.write_csv(table, temporary)


def _rows(grid: LayerGrid) -> list[dict[str, Any]]:
    adjusted: dict[tuple[str, str | None], Any] = {}
    rows = []
    for (layer_a, layer_b), job in grid.jobs.items():
        result = job.result
        cell = grid.rows.index(layer_a), grid.columns.index(layer_b)
        about = {
            "job": job.name,
            "pair": pair(result),
            "setting": grid.setting,
            "control": result.config.get("control"),
            "model_a": result.side_a.model,
            "layer_a": layer_a,
            "sae_a": result.side_a.sae,
            "model_b": result.side_b.model,
            "layer_b": layer_b,
            "sae_b": result.side_b.sae,
            "rule": result.rule,
            "direction": result.direction,
            "n_tokens": result.corpus.n_tokens,
            "pairs": int(result.funnel[0]["n_pairs"]),
            "pairs_kept": result.n_kept,
            "correlation_mean": result.correlation["mean"],
            "correlation_mean_kept": result.correlation["mean_kept"],
        }
        for concept in (None, *(each["name"] for each in result.concepts)):
            for entry in scores_of(result, concept):
                key = label(entry), concept
                if key not in adjusted:
                    adjusted[key] = grid.adjusted_p_values(*key)
                p_value = float(adjusted[key][cell])
                scores = {"concept": concept} | {name: entry[name] for name in _SCORES}
                rows.append(about | scores | {"p_value_bh": None if p_value != p_value else p_value})
    return rows


def _type(name: str) -> pa.DataType:
    return pa.string() if name in _TEXT else pa.int64() if name in _COUNTS else pa.float64()
